"""Who carries a camera: goes along a route, turns to what it looks at, never faster than it can."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from autoseg3d_ros.data.synthetic.gaze import Gaze, turn_rad
from autoseg3d_ros.data.synthetic.route import Route

_HOME_SHARE = 0.82  # of the time has passed when the bearer is to be back where it began
_ON_TARGET_RAD = np.radians(10.0)
_TURN_GAIN_HZ = 2.5  # how eagerly a direction is taken up
_PITCH_GAIN_HZ = 1.5
_BELOW_DEG = 4.0  # the middle of the image is somewhat below what is looked at: most things stand below the eye
_ACCELERATION_M_S2 = 0.7
_TURN_ACCELERATION_RAD_S2 = np.radians(200.0)
_CALM = (0.6, 3.0)  # how long things are looked at, relative to the usual, drawn once a walk
_BACKWARDS_SPEED = 0.4  # share of the speed at which one walks with the eyes to the back
_PACE_HZ = 0.12
_LOOK_AHEAD_M = 0.12
_HOME_M = 0.03
_RESERVE = 1.3  # times the time that the rest of the way takes as a rule


@dataclass(frozen=True)
class Motion:
    """How a bearer moves."""

    looks_ahead: bool  # while it goes, as a robot does that cannot turn its camera; looks around where it stops
    speed_m_s: float  # at most
    cruise_m_s: float  # with all stops, which decides the length of the way
    turn_deg_s: tuple[float, float]  # fastest turn, drawn once a walk
    hold_s: tuple[float, float]  # how long something is looked at

    def way_m(self, duration_s: float) -> float:
        """Return how long a way fits into a time."""
        return self.cruise_m_s * _HOME_SHARE * duration_s


class Bearer:
    """A bearer on its way; read its attributes, then let it go on."""

    def __init__(
        self,
        motion: Motion,
        route: Route,
        gaze: Gaze,
        duration_s: float,
        eye_m: float,
        rng: np.random.Generator,
    ) -> None:
        self._motion, self._route, self._gaze, self._eye_m, self._rng = motion, route, gaze, eye_m, rng
        self._fastest_turn_rad_s = np.radians(rng.uniform(*motion.turn_deg_s))
        self._home_s = _HOME_SHARE * duration_s
        self._pace_phase_rad = rng.uniform(0, 2 * np.pi)
        self._stops_m = route.stops_m.tolist()
        self._time_s = self._along_m = self._speed_m_s = self._turn_rad_s = 0.0
        self.place_m = route.place(0.0)  # (2,) x, y
        self._first = self._target = gaze.next_target(self.place_m, 0.0, 0.0)
        self._calm = float(np.exp(rng.uniform(*np.log(_CALM))))
        self._until_s = np.inf  # from when the target is in view
        self._standing = True
        self.heading_rad = float(gaze.bearing_rad(self.place_m)[self._target])  # counter-clockwise from +x
        self.pitch_deg = self._pitch_wanted_deg()  # upwards

    @property
    def stride(self) -> float:
        """How briskly it goes, 0 to 1."""
        return self._speed_m_s / self._motion.speed_m_s

    def go_on(self, step_s: float) -> None:
        """Move for a short time."""
        self._time_s += step_s
        if self._motion.looks_ahead:
            self._stop_or_start()
        else:
            self._look_elsewhere()
        error_rad = float(turn_rad(self._heading_wanted_rad(), self.heading_rad))
        self._turn(error_rad, step_s)
        self.pitch_deg += min(1.0, _PITCH_GAIN_HZ * step_s) * (self._pitch_wanted_deg() - self.pitch_deg)
        self._move(self._speed_wanted_m_s(error_rad), step_s)

    def _look_elsewhere(self) -> bool:
        """Turn to something else once the target has been looked at for a while; say whether it has."""
        if self._is_home_to_stay():
            self._target = self._first
            return False
        if self._until_s == np.inf:
            error_rad = turn_rad(self._gaze.bearing_rad(self.place_m)[self._target], self.heading_rad)
            if abs(error_rad) < _ON_TARGET_RAD:
                self._until_s = self._time_s + self._calm * self._rng.uniform(*self._motion.hold_s)
        if self._time_s < self._until_s:
            return False
        self._target = self._gaze.next_target(self.place_m, self.heading_rad, self._time_s)
        self._until_s = np.inf
        return True

    def _stop_or_start(self) -> None:
        """Look around where there is a stop, and while there is nowhere to go."""
        if self._standing:
            looked = self._look_elsewhere()
            self._standing = self._at_end() or not looked or (self._has_time() and self._rng.random() < 0.4)
        elif self._stops_m and self._along_m >= self._stops_m[0]:
            self._stops_m.pop(0)
            self._standing = self._has_time()
        else:
            self._standing = self._at_end()

    def _turn(self, error_rad: float, step_s: float) -> None:
        limit, change = self._fastest_turn_rad_s, _TURN_ACCELERATION_RAD_S2 * step_s
        wanted = np.clip(_TURN_GAIN_HZ * error_rad, -limit, limit)
        self._turn_rad_s += float(np.clip(wanted - self._turn_rad_s, -change, change))
        self.heading_rad += self._turn_rad_s * step_s

    def _move(self, wanted_m_s: float, step_s: float) -> None:
        change = _ACCELERATION_M_S2 * step_s
        self._speed_m_s += float(np.clip(wanted_m_s - self._speed_m_s, -change, change))
        self._along_m = min(self._along_m + self._speed_m_s * step_s, self._route.length_m)
        self.place_m = self._route.place(self._along_m)

    def _heading_wanted_rad(self) -> float:
        if self._motion.looks_ahead and not self._standing:
            return self._route.heading_rad(min(self._along_m + _LOOK_AHEAD_M, self._route.length_m))
        return float(self._gaze.bearing_rad(self.place_m)[self._target])

    def _pitch_wanted_deg(self) -> float:
        target = self._gaze.targets_m[self._target]
        away_m = max(float(np.linalg.norm(target[:2] - self.place_m)), 0.5)
        return float(np.degrees(np.arctan2(target[2] - self._eye_m, away_m))) - _BELOW_DEG

    def _speed_wanted_m_s(self, error_rad: float) -> float:
        left_m = self._route.length_m - self._along_m
        braked = np.sqrt(_ACCELERATION_M_S2 * max(left_m, 0.0))
        if self._motion.looks_ahead:
            if self._standing:
                return 0.0
            return min(braked, self._motion.speed_m_s * max(0.0, np.cos(error_rad)) ** 4)
        pace = 1 + 0.6 * np.sin(2 * np.pi * _PACE_HZ * self._time_s + self._pace_phase_rad)
        in_time = left_m / max(self._home_s - self._time_s, 1.0)
        facing = np.cos(turn_rad(self.heading_rad, self._route.heading_rad(self._along_m)))
        ease = _BACKWARDS_SPEED if facing < -0.3 else 1.0
        return float(min(braked, ease * pace * in_time, self._motion.speed_m_s))

    def _at_end(self) -> bool:
        return self._along_m >= self._route.length_m - _HOME_M

    def _is_home_to_stay(self) -> bool:
        return self._time_s >= self._home_s and (self._at_end() or not self._motion.looks_ahead)

    def _has_time(self) -> bool:
        """Whether the rest of the way leaves time to look around."""
        needed_s = _RESERVE * (self._route.length_m - self._along_m) / self._motion.cruise_m_s
        return needed_s < self._home_s - self._time_s
