"""`models/manifest.yaml`: the models that have a name, and how to know their files."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from itertools import takewhile
from pathlib import Path

import yaml

from autoseg3d_ros.setting import ConfigError

_NAME = "manifest.yaml"


@dataclass(frozen=True)
class Weights:
    """The file of a model."""

    file: str  # beside the manifest
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """The models of one folder."""

    folder: Path
    models: Mapping[str, Weights] = field(default_factory=dict)
    default: str = ""  # the model that is used where none is asked for; empty = none

    @classmethod
    def read(cls, path: Path) -> Manifest:
        """Read a manifest. Raises ConfigError for one that is not what it should be."""
        try:
            document = yaml.safe_load(path.read_text()) or {}
            models = {name: Weights(str(row["file"]), str(row["sha256"])) for name, row in document["models"].items()}
        except (OSError, yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
            raise ConfigError(f"{path}: expected `models: name: {{file: ..., sha256: ...}}`, got {error!r}") from error
        default = document.get("default", "")
        if default not in ("", *models):
            raise ConfigError(f"{path}: default: expected one of {', '.join(models) or 'no models'}, got {default!r}")
        return cls(path.parent, models, default)

    @classmethod
    def installed(cls) -> Manifest:
        """Return the manifest that came with the package: of the checkout, or of the ROS 2 installation."""
        here = Path(__file__).resolve()
        for parent in here.parents:
            for folder in (parent / "models", parent / "share" / "autoseg3d_ros" / "models"):
                if (folder / _NAME).is_file():
                    return cls.read(folder / _NAME)
        return cls(here.parent)

    @property
    def names(self) -> tuple[str, ...]:
        """The models that have weights."""
        return tuple(self.models)

    def with_model(self, name: str, file: Path, *, default: bool = False) -> Manifest:
        """Return a manifest that has this file, beside it, as the model of that name, and perhaps as the default."""
        weights = Weights(file.name, hashlib.sha256(file.read_bytes()).hexdigest())
        return replace(self, models={**self.models, name: weights}, default=name if default else self.default)

    def write(self) -> None:
        """Write the manifest into its folder; the comment at the head of the former one stays."""
        path = self.folder / _NAME
        lines = path.read_text().splitlines(keepends=True) if path.is_file() else []
        comment = "".join(takewhile(lambda line: line.startswith("#"), lines))
        default = {"default": self.default} if self.default else {}
        document = {**default, "models": {name: asdict(weights) for name, weights in self.models.items()}}
        partial = path.with_name(path.name + ".partial")
        partial.write_text(comment + yaml.safe_dump(document, sort_keys=False))
        partial.replace(path)

    def weights_of(self, name: str) -> Path | None:
        """Return the file of a model, None for one without weights. Raises ConfigError for a wrong checksum."""
        weights = self.models.get(name)
        if weights is None:
            return None
        path = self.folder / weights.file
        if not path.is_file():
            raise ConfigError(f"model {name}: {path} is not there; install the package again")
        actual = hashlib.sha256(path.read_bytes()).hexdigest()
        if actual != weights.sha256:
            raise ConfigError(
                f"model {name}: expected {path} with sha256 {weights.sha256}, got {actual}; the file is damaged, "
                "install the package again"
            )
        return path
