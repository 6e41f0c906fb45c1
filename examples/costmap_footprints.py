"""Publishes the footprints of all confirmed instances, with a margin, as a costmap takes them.

python examples/costmap_footprints.py --ros-args -p margin_m:=0.1 -p size_m:=20.0

In: `instances`, `instances_full`. Out, once a second and map frame: `instance_grid` (OccupancyGrid, for nav2's static
layer: `map_topic: /instance_grid`) and `instance_polygons` (PolygonStamped, one message an instance).
"""

from __future__ import annotations

import array

from geometry_msgs.msg import Point32, Polygon, PolygonStamped
from nav_msgs.msg import OccupancyGrid
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from std_msgs.msg import Header

from autoseg3d_ros.client.footprints import Grid, footprint_m, inflated, painted
from autoseg3d_ros.client.nearest import is_confirmed
from autoseg3d_ros.msg import InstanceArray
from autoseg3d_ros.ros import instance_client


class CostmapFootprints(Node):
    """Paints a square grid about the origin of the map frame."""

    def __init__(self) -> None:
        super().__init__("costmap_footprints")
        self._margin_m = self.declare_parameter("margin_m", 0.05).value
        resolution_m = self.declare_parameter("resolution_m", 0.05).value
        size_m = self.declare_parameter("size_m", 20.0).value
        num_cells = round(size_m / resolution_m)
        self._grid = Grid(-size_m / 2, -size_m / 2, resolution_m, num_cells, num_cells)
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._grids = self.create_publisher(OccupancyGrid, "instance_grid", latched)
        self._polygons = self.create_publisher(PolygonStamped, "instance_polygons", 100)
        self._header: Header | None = None
        self._table = instance_client.subscribe(self, self._on_change)
        self.create_timer(self.declare_parameter("period_s", 1.0).value, self._publish)

    def _on_change(self, _table: object, _change: object, message: InstanceArray) -> None:
        self._header = message.header

    def _publish(self) -> None:
        if self._header is None:
            return
        confirmed = [one for one in self._table.instances() if is_confirmed(one)]
        polygons = [inflated(footprint_m(one), self._margin_m) for one in confirmed]
        for polygon in polygons:
            corners = [Point32(x=x, y=y) for x, y in polygon.tolist()]
            self._polygons.publish(PolygonStamped(header=self._header, polygon=Polygon(points=corners)))
        self._grids.publish(self._painted(polygons))

    def _painted(self, polygons: list) -> OccupancyGrid:
        grid, message = self._grid, OccupancyGrid(header=self._header)
        message.info.resolution, message.info.width, message.info.height = (
            grid.resolution_m,
            grid.num_columns,
            grid.num_rows,
        )
        message.info.origin.position.x, message.info.origin.position.y = grid.x_m, grid.y_m
        message.data = array.array("b", painted(polygons, grid).tobytes())
        return message


if __name__ == "__main__":
    instance_client.spin(CostmapFootprints)
