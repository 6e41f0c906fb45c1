// Sparse convolution and its kernel maps on the CPU, called by sparse_native.py. No row is copied: a tile of outputs stays
// in registers while it reads its input rows. Built without linking OpenMP, so that torch's own threads do the work.
#include <algorithm>
#include <cstdint>
#include <vector>

#ifdef __AVX512F__
constexpr int LANES = 16;
constexpr int TILE_ROWS[] = {0, 14, 12, 8, 6};  // by vectors of columns: what 32 registers hold
#else
constexpr int LANES = 8;
constexpr int TILE_ROWS[] = {0, 8, 6, 4, 3};  // 16 registers
#endif

template <int WIDTH>
struct Vector {
    typedef float type __attribute__((vector_size(WIDTH * 4), aligned(4)));
};

// out[r] += in[r] (cin) x weight (cin, COLUMNS * WIDTH) for ROWS pairs of rows.
template <int WIDTH, int ROWS, int COLUMNS>
inline void add_tile(const float *const *in, const float *weight, int64_t weight_stride, float *const *out, int64_t cin) {
    typedef typename Vector<WIDTH>::type Floats;
    Floats sum[ROWS][COLUMNS];
    for (int r = 0; r < ROWS; ++r)
        for (int v = 0; v < COLUMNS; ++v) sum[r][v] = *(const Floats *)(out[r] + v * WIDTH);
    for (int64_t c = 0; c < cin; ++c, weight += weight_stride) {
        Floats w[COLUMNS];
        for (int v = 0; v < COLUMNS; ++v) w[v] = *(const Floats *)(weight + v * WIDTH);
        for (int r = 0; r < ROWS; ++r)
            for (int v = 0; v < COLUMNS; ++v) sum[r][v] += in[r][c] * w[v];
    }
    for (int r = 0; r < ROWS; ++r)
        for (int v = 0; v < COLUMNS; ++v) *(Floats *)(out[r] + v * WIDTH) = sum[r][v];
}

// The same for any number of pairs: whole tiles, then ever smaller ones.
template <int WIDTH, int ROWS, int COLUMNS>
void add_product(int64_t count, const float *const *in, const float *weight, int64_t weight_stride, float *const *out,
                 int64_t cin) {
    for (; count >= ROWS; count -= ROWS, in += ROWS, out += ROWS)
        add_tile<WIDTH, ROWS, COLUMNS>(in, weight, weight_stride, out, cin);
    if constexpr (ROWS > 1)
        if (count > 0) add_product<WIDTH, (ROWS + 1) / 2, COLUMNS>(count, in, weight, weight_stride, out, cin);
}

// One kernel offset of a block of output rows, all columns; `out` moves on with the columns. cout is a multiple of 4.
void add_offset(int64_t count, const float *const *in, const float *weight, float **out, int64_t cin, int64_t cout) {
    const int64_t widest = cout % (3 * LANES) == 0 ? 3 : 4;
    for (int64_t column = 0; column < cout;) {
        const int64_t left = cout - column, vectors = std::min(left / LANES, widest);
        const float *w = weight + column;
        int64_t done = vectors * LANES;
        if (vectors == 4) add_product<LANES, TILE_ROWS[4], 4>(count, in, w, cout, out, cin);
        else if (vectors == 3) add_product<LANES, TILE_ROWS[3], 3>(count, in, w, cout, out, cin);
        else if (vectors == 2) add_product<LANES, TILE_ROWS[2], 2>(count, in, w, cout, out, cin);
        else if (vectors == 1) add_product<LANES, TILE_ROWS[1], 1>(count, in, w, cout, out, cin);
        else if (left >= 8) add_product<8, TILE_ROWS[1], 1>(count, in, w, cout, out, cin), done = 8;
        else add_product<4, TILE_ROWS[1], 1>(count, in, w, cout, out, cin), done = 4;
        column += done;
        for (int64_t i = 0; i < count; ++i) out[i] += done;
    }
}

// out = max(0, out * scale + shift + skip), channel by channel; `skip` may be null.
void end_row(float *out, const float *scale, const float *shift, const float *skip, int64_t cout) {
    if (skip)
        for (int64_t c = 0; c < cout; ++c) out[c] = std::max(0.0f, out[c] * scale[c] + shift[c] + skip[c]);
    else
        for (int64_t c = 0; c < cout; ++c) out[c] = std::max(0.0f, out[c] * scale[c] + shift[c]);
}

// `scale` may be null: then nothing comes after the convolution.
extern "C" void convolve(const float *features, const float *weight, const int32_t *table, float *out,
                         const float *scale, const float *shift, const float *skip, int64_t num_in, int64_t num_out,
                         int64_t num_offsets, int64_t cin, int64_t cout, int64_t block, int num_threads) {
#pragma omp parallel for num_threads(num_threads) schedule(dynamic, 1)
    for (int64_t first = 0; first < num_out; first += block) {
        const int64_t last = std::min(num_out, first + block);
        std::vector<const float *> in(block);
        std::vector<float *> sum(block);
        std::fill(out + first * cout, out + last * cout, 0.0f);
        for (int64_t k = 0; k < num_offsets; ++k) {
            int64_t count = 0;
            for (int64_t row = first; row < last; ++row) {
                const int64_t read = table[k * num_out + row];
                in[count] = features + read * cin;
                sum[count] = out + row * cout;
                count += read < num_in;
            }
            add_offset(count, in.data(), weight + k * cin * cout, sum.data(), cin, cout);
        }
        if (scale)  // while the rows are still in the cache
            for (int64_t row = first; row < last; ++row)
                end_row(out + row * cout, scale, shift, skip ? skip + row * cout : nullptr, cout);
    }
}

// table[k][row] = children[coarse[neighbour[k][octant]][parent]][child[k][octant]]: VoxelLevel._inherited_cube.
extern "C" void inherit(const int32_t *children, const int32_t *coarse, const int64_t *parent, const int64_t *octant,
                        const int64_t *neighbour, const int64_t *child, int32_t *table, int64_t num_rows,
                        int64_t num_coarse, int64_t num_offsets, int num_threads) {
#pragma omp parallel for num_threads(num_threads)
    for (int64_t k = 0; k < num_offsets; ++k)
        for (int64_t row = 0; row < num_rows; ++row) {
            const int64_t which = k * 8 + octant[row];
            table[k * num_rows + row] = children[coarse[neighbour[which] * num_coarse + parent[row]] * 8 + child[which]];
        }
}
