"""The words of the printers' language, and what stands under a key: what a redaction leaves, and what it takes away."""

import enum
import re
from functools import lru_cache
from typing import Final

from bambu_connector.bambu.models import TRAITS


class Says(enum.Enum):
    """What the value of a key says, as far as it is about somebody."""

    WORD = "of the printer's own vocabulary, also where it looks like a number of somebody"
    VERSION = "a version, which looks like an address"
    ANYTHING = "unknown: it is looked at"
    SERIAL = "a serial"
    ADDRESS = "an address or the name of a host"
    HARDWARE = "the address of a network card"
    NETWORK = "the name of a network"
    NAME = "what somebody called something"
    FILE = "a file, with or without its folders"
    NUMBER = "the number of a user, a task, a design …"
    TAG = "hexadecimal digits that belong to one thing alone"
    TOKEN = "a secret"  # noqa: S105 - it is called one
    URL = "a URL"


# fmt: off
_KEYS: Final[dict[Says, str]] = {
    Says.WORD: """
        fun fun2 stat cfg aux info xcam_info tray_color cols color color_m err mc_print_error_code err_code
        sequence_id tray_id_name tray_type tray_sub_brands command gcode_state mode node module product_name nozzle_type
        t_utc t_local utc_time timestamp time date model_code dev_model model type fila_id cur_id k
    """,
    Says.VERSION: "sw_ver hw_ver loader_ver ota_ver ver version lower_limit firmware",
    Says.SERIAL: "sn dev_id device_id dev_sn usn ams_sn machine_sn",
    Says.ADDRESS: "ip dev_ip host hostname gateway gw dns dns1 dns2 addr address broadcast server domain",
    Says.HARDWARE: "mac bssid",
    Says.NETWORK: "ssid essid wifi_name",
    Says.NAME: """
        name dev_name printer_name subtask_name design_title design_name project_name task_name title profile_name
        model_name plate_name user username user_name nickname nick_name owner account author creator designer tar_name
        email mail phone
    """,
    Says.FILE: "gcode_file file file_name filename file_path path timelapse_path param folder",
    Says.NUMBER: """
        project_id profile_id task_id subtask_id job_id lan_task_id design_id model_id user_id uid account_id
        instance_id trouble_id cert_id app_id client_id session_id request_id setting_id tray_info_idx
    """,
    Says.TAG: "tag_uid tray_uuid md5 sha256 uuid",
    Says.TOKEN: "token password passwd pwd secret auth authkey ttcode cookie signature ticket",
    Says.URL: "url",
}
_PARTS: Final[tuple[tuple[str, Says], ...]] = (  # of keys that nobody has seen before; the first that fits decides
    (r"_bits(_raw)?$", Says.WORD),
    (r"_(ver|version|version_number)$", Says.VERSION),
    (r"(^|_)(utc|time|date)$", Says.WORD),
    (r"token|passw|secret|credential|authkey|ttcode|cookie|signature|access_?code|private|(^|_)cert", Says.TOKEN),
    (r"ssid", Says.NETWORK),
    (r"(^|_)mac(_?addr(ess)?)?$", Says.HARDWARE),
    (r"(^|_)(ip|ipv4|ipv6|ip_?addr(ess)?|gateway|dns\d?|host(name)?)$", Says.ADDRESS),
    (r"(^|_)sn$|serial", Says.SERIAL),
    (r"(^|_)(url|uri)$", Says.URL),
    (r"(^|_)(user|account|owner|author|creator|designer|client|design|task|project|profile|subtask)_?id$", Says.NUMBER),
    (r"(^|_)(uuid|uid|guid|md5|sha1|sha256|hash)$", Says.TAG),
    (r"(^|_)(user|owner|account|author|creator|designer|nick|e?mail|phone|title)s?(_?names?)?$|_names?$", Says.NAME),
    (r"(^|_)(file|folder|path)$", Says.FILE),
)
# fmt: on
_BY_KEY: Final = {key: says for says, keys in _KEYS.items() for key in keys.split()}
_BY_PART: Final = tuple((re.compile(pattern), says) for pattern, says in _PARTS)
_OF_MODULES: Final = frozenset({"name", "product_name", "project_name"})
_MODULE_KEYS: Final = frozenset({"sw_ver", "hw_ver"})
_CAPITAL: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")  # `userName` is `user_name`
_MOST_KEYS: Final = 4096  # printers have some hundreds


INHERITED: Final = frozenset({Says.NAME, Says.NETWORK, Says.TOKEN})
"""What holds for everything below a key, where that says nothing else."""


@lru_cache(maxsize=_MOST_KEYS)
def said_by(key: str, *, in_module: bool = False) -> Says:
    """Return what stands under a key; in a module of `get_version` names are those of parts."""
    if in_module and key in _OF_MODULES:
        return Says.WORD
    plain = _CAPITAL.sub("_", key).lower()
    found = _BY_KEY.get(plain)
    return found or next((says for pattern, says in _BY_PART if pattern.search(plain)), Says.ANYTHING)


def is_module(fields: object) -> bool:
    """Say whether an object is one of the modules that `get_version` lists."""
    return isinstance(fields, dict) and not _MODULE_KEYS.isdisjoint(fields)


FOLDERS: Final = frozenset(
    "data Metadata sdcard media mnt usb0 cache model timelapse ipcam image userdata usr etc print tmp streaming"
    " live".split()
)
"""The printers' own folders."""

_OWN_FILE: Final = re.compile(
    r"plate_\d{1,3}|(auto|extrusion)_cali(_(for|user|param|pa|line|flow|coarse|fine|\d{1,3}))*"
)


def is_own_file(stem: str) -> bool:
    """Say whether a file's name without its ending is the printer's or the slicer's choice, and nobody else's."""
    return _OWN_FILE.fullmatch(stem) is not None


_OWN_PRESET: Final = re.compile(r"GF[A-Z]{1,3}\d{2}(_\d{1,2})?")


def is_own_preset(number: str) -> bool:
    """Say whether a filament's number is one of the maker's list; those that users make are theirs alone."""
    return _OWN_PRESET.fullmatch(number) is not None


NOTHING: Final = frozenset(
    "enable disable enabled disabled on off true false none null unknown idle success fail failed N/A -1 good".split()
)
"""Values that say nothing of anybody, whatever they stand under."""

_WORDS: Final = """
    2D 3D ABS agora_service ahb ahb_new_version_number airduct allow_skip_parts AMS ams ams_exist_bits
    ams_exist_bits_raw ams_new_version_number ams_rfid_status ams_status ap ap_err as ASA auto_cali aux_part_fan Bambu
    base Basic batch_id bed bed_target_temper bed_temp bed_temp_type bed_temper big_fan1_speed big_fan2_speed brass
    brtc_service bs_state buildplate_marker_detector cali cali2d_id cali_id cali_idx cali_stat cali_version calib cam
    came canvas_id cap_pic_enable Carbon care cham_temp chamber chamber_light chamber_light2 chamber_temper clock_in
    clock_in_time cols command cond conf connection connector consistency_request cooling_fan_speed ctc ctrl ctt ctype
    cur_id_list cur_stage cur_state_code deltas device diameter dis_state dry_time drying drying_temp drying_time
    esp32 est_time example example.org exist ext ext_new_version_number ext_tool extruder extrusion_cali fail_reason
    FAILED fan fan_gear filam_bak filament file file_size files FINISH finish_size firmware first_confirm
    first_layer_inspector flag flag3 flashing flow folded folder force_upgrade ftps full func gcode
    gcode_file_prepare_percent gcode_line get_version halt_print_sensitivity hardened_steel HAS_SDCARD_ABNORMAL
    HAS_SDCARD_NORMAL heatbed heatbreak_fan_speed heigh hms hnow holder home_flag host hpre htar https Hub humidity
    humidity_raw hw_switch_state IDLE idx2 info insert_flag invalid ipcam ipcam_dev ipcam_record is_answer is_bound
    is_goodbye it job job_attr Lab lan laser laser_preview_res layer layer_num ledctrl left left_time level lifecycle
    light lights lights_report Lite liveview local low_prec machine maintain makeable MANUAL mapping mask material
    Matte mc_action mc_err mc_percent mc_print_line_number mc_print_stage mc_print_sub_stage mc_remaining_time
    mc_stage medium mess_production_state message messages mode_bits modeCur modeFunc modeId model model_code modeList
    modeVisable module modules monitor mount mount_3d name network new_ver_list new_version_state NO_SDCARD node note
    nozzle nozzle_diameter nozzle_target_temper nozzle_temp_max nozzle_temp_min nozzle_temper online oss_url
    ota_new_version_number PA-CF PAHT-CF part parts path PAUSE PC percent person person@example.org PETG PETG-CF PLA
    PLA-CF PLA-S plate plate_1 plate_cnt plate_id plate_idx platform port power power_on_flag PREPARE prepare_per
    print print_error print_gcode_action print_halt print_real_action print_then print_type printer printing_monitor
    Pro proc_list process product product_name progress project project_file project_name project_prepare push_all
    push_status pushall pushing PVA queue queue_est queue_number queue_sts queue_total range reading real reason
    record recorded recording remain remain_time report reports resolution result rfid right rtsp rtsp_url rtsps
    RUNNING s_obj sdcard seconds serial server signal_dbm silent Silk size SLICING slot snow source spaghetti_detector
    spd_lvl spd_mag speed sport spre src_id stage stainless_steel standard star start state status steel step_type
    stg_cd stg_cur subFunc subMode subVisable Support system tar_id task temp temper th_temp time time_remaining
    timelapse title tl_store_hpd_type tl_store_path_type tool tool_info total_layer_num total_len total_time TPU tray
    tray_diameter tray_exist_bits tray_is_bbl_bits tray_now tray_pre tray_read_done_bits tray_reading_bits tray_tar
    tray_temp tray_time tray_weight tutk_server type unbind_ams_stat unreadable upgrade upgrade_state upload user
    version vir_slot virtual visible vt_tray wear wifi_signal work work_light xcam xcam_status
"""
_MODELS: Final = (text for traits in TRAITS.values() for text in (traits.code, *traits.codes, traits.display_name))
_OWN: Final = frozenset(
    word.lower()
    for text in (_WORDS, *_KEYS.values(), *_MODELS, *(model.value for model in TRAITS), *FOLDERS, *NOTHING)
    for word in (text, *text.split())
)


def is_own(text: str) -> bool:
    """Say whether a name is a word that printers use as well, such as `P1S`: it tells nobody from another."""
    return text.strip().lower() in _OWN
