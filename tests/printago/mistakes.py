"""Values that no command's parameter may have: command → parameter → what to refuse."""

from typing import Final

from tests.printago.examples import MD5, SHA256

# fmt: off
NOT_NUMBERS: Final[tuple[object, ...]] = ("warm", "", "NaN", "nan", "Infinity", "-inf", "1e999", True, [], {}, [1])
NOT_WHOLE: Final[tuple[object, ...]] = (*NOT_NUMBERS, 1.5, "0.5")
NOT_FLAGS: Final[tuple[object, ...]] = ("maybe", 2, -1, [], {}, 0.5)
NOT_TEXTS: Final[tuple[object, ...]] = (True, 1.5, [], {}, "x" * 256, "two\nlines", "nul\x00")
MISTAKES: Final[dict[str, dict[str, tuple[object, ...]]]] = {
    "printer_control/start_print_bbl": {
        "url": ("", "part.3mf", "ftp://files.example.org/a", "file:///etc/passwd", "https://", "http://[", 7, True, [],
                "https://a b\n", "https://h:99999/", "https://files.example.org/" + "a" * 9000, ["https://a/"]),
        "file_name": NOT_TEXTS, "md5": ("0" * 31, "g" * 32, SHA256, *NOT_TEXTS), "sha256": (MD5, "z" * 64, *NOT_TEXTS),
        "plate": (*NOT_WHOLE, 0, -1), "use_ams": NOT_FLAGS, "ams_mapping": ("0", 0, {}, [0.5], ["x"], [None], [[0]],
        [True], [0] * 2000), "bed_type": ("glass", 3, [], True), "do_bed_leveling": NOT_FLAGS,
        "do_flow_cali": NOT_FLAGS, "vibration_cali": NOT_FLAGS, "layer_inspect": NOT_FLAGS, "timelapse": NOT_FLAGS,
        "job_id": NOT_TEXTS,
    },
    "printer_control/download_gcode": {"url": ("", 1), "md5": ("xyz",), "plate": (0, "one")},
    "printer_control/start_print": {
        "file_name": ("../up.3mf", "cache/a.3mf", "/a/b.3mf", "..", ".", "/", "a\\b", "", " ", *NOT_TEXTS),
        "plate": (0,), "use_ams": ("perhaps",),
    },
    "temperature_control/set_hotend": {"temperature": NOT_NUMBERS, "tool": NOT_WHOLE},
    "temperature_control/set_bed": {"temperature": NOT_NUMBERS},
    "temperature_control/set_chamber": {"temperature": NOT_NUMBERS},
    "movement_control/jog": {
        "axes": ({}, [], "x", 1, {"e": 1}, {"x": 1, "a": 2}, {"x": "far"}, {"x": None}, {"y": True}, {"z": "NaN"}),
        "relative": NOT_FLAGS, "speed": NOT_NUMBERS,
    },
    "movement_control/extrude": {"amount": NOT_NUMBERS, "speed": NOT_NUMBERS, "tool": NOT_WHOLE},
    "fan_control/set_fan": {"fan": ("", "door", 1, [], True), "speed": NOT_NUMBERS},
    "light_control/set_light": {"light": ("", "lamp", 1, []), "state": ("", "dim", True, 1, [])},
    "speed_control/set_speed": {"level": (0, 5, "", "warp", True, [], 2.5)},
    "filament_control/load": {"ams_id": NOT_WHOLE, "slot_id": NOT_WHOLE, "temperature": NOT_NUMBERS, "tool": NOT_WHOLE},
    "filament_control/unload": {"temperature": NOT_NUMBERS, "tool": NOT_WHOLE},
    "filament_control/refresh_slot": {"ams_id": NOT_WHOLE, "slot_id": NOT_WHOLE},
    "filament_control/set_slot": {
        "ams_id": NOT_WHOLE, "slot_id": NOT_WHOLE, "type": ("", *NOT_TEXTS), "tray_info_idx": NOT_TEXTS,
        "color": ("", "red", "#12345", "#1234567", "#123456789", *NOT_TEXTS), "nozzle_temp_min": (*NOT_WHOLE, -1, 300),
        "nozzle_temp_max": (*NOT_WHOLE, 100, 401),
    },
    "printer_control/calibrate": dict.fromkeys(("bed_level", "vibration", "motor_noise", "lidar"), NOT_FLAGS),
    "printer_control/skip_objects": {"objects": ([], 98, "98", [1.5], ["a"], [None], {})},
    "printer_control/list_files": {"folder": ("/a/../b", "..", "a//b", "a\\b", "./a", *NOT_TEXTS)},
    "printer_control/delete_file": {"file_name": ("../a", "a/b", "/", "..", "", *NOT_TEXTS)},
}
# fmt: on
