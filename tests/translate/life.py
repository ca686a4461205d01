"""A printer that goes on changing, for what must hold after any number of partial reports."""

from random import Random

from tests.bambu.reports import Fields, as_delta, p1s, tray


class Life:
    """A P1S that goes on changing: its whole state, and the delta that tells each change."""

    def __init__(self, seed: int) -> None:
        self.report = p1s()
        self._random = Random(seed)

    def step(self) -> Fields:
        """Change something; return what the printer would say of it."""
        return as_delta(**self._random.choice([self._scalars, self._lists, self._inner, self._spools])())

    def _scalars(self) -> Fields:
        pick = self._random
        values: Fields = {
            "nozzle_temper": round(pick.uniform(20, 250), 2),
            "bed_temper": round(pick.uniform(20, 90), 2),
            "nozzle_target_temper": pick.choice([0, 220, 220.0]),
            "mc_percent": pick.randint(0, 100),
            "mc_remaining_time": pick.choice([7, "7", 0]),
            "layer_num": pick.randint(0, 300),
            "gcode_state": pick.choice(["IDLE", "PREPARE", "RUNNING", "PAUSE", "FINISH"]),
            "wifi_signal": f"-{pick.randint(30, 90)}dBm",
            "fan_gear": pick.randint(0, 0xFFFFFF),
            "home_flag": pick.choice([0x107, -1, 0]),
            "stg_cur": pick.choice([255, 0, 1, 78]),
            "print_error": pick.choice([0, 0x05004003, True]),
            "spd_lvl": pick.choice([1, 2, "3", True]),
        }
        told = {key: values[key] for key in pick.sample(sorted(values), pick.randint(1, 3))}
        self.report |= told
        return told

    def _lists(self) -> Fields:
        pick = self._random
        told: Fields = pick.choice(
            [
                {"hms": [{"attr": 0x03000100, "code": pick.randint(1, 4) << 16 | 1}] * pick.randint(0, 1)},
                {"lights_report": [{"node": "chamber_light", "mode": pick.choice(["on", "off"])}]},
                {"s_obj": [98] * pick.randint(0, 2)},
                {"stg": [1, 2][: pick.randint(0, 2)]},
            ]
        )
        self.report |= told
        return told

    def _inner(self) -> Fields:
        pick = self._random
        key, told = pick.choice(
            [
                ("ipcam", {"ipcam_record": pick.choice(["enable", "disable"])}),
                ("ipcam", {"timelapse": pick.choice(["enable", "disable"])}),
                ("upgrade_state", {"dis_state": pick.choice([0, 1, 2])}),
                ("ams", {"tray_now": pick.choice(["255", "254", "0", "2"])}),
            ]
        )
        self.report[key] = self.report[key] | told
        return {key: told}

    def _spools(self) -> Fields:
        """Put a spool in a slot, or take one out: the printer tells the one tray and the bits."""
        pick = self._random
        slot = pick.randint(0, 3)
        ams = self.report["ams"]
        bits = int(ams["tray_exist_bits"], 16)
        put = pick.random() < 0.7
        new = (
            tray(slot, pick.choice(["PLA", "PETG"]), pick.choice(["FF0000FF", "0000FFFF"]))
            if put
            else {"id": str(slot)}
        )
        bits = bits | 1 << slot if put else bits & ~(1 << slot)
        unit = ams["ams"][0]
        trays = [new if each["id"] == str(slot) else each for each in unit["tray"]]
        humidity = str(pick.randint(1, 5))
        told_bits = {"tray_exist_bits": f"{bits:x}", "power_on_flag": True}
        self.report["ams"] = ams | told_bits | {"ams": [unit | {"tray": trays, "humidity": humidity}]}
        return {"ams": told_bits | {"ams": [{"id": "0", "humidity": humidity, "tray": [new]}]}}
