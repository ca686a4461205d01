"""A file and its options → what is checked before anything is uploaded, and the request that starts the print."""

from dataclasses import dataclass
from typing import Final

from bambu_connector.bambu.models import StartUrl, Traits, can_run
from bambu_connector.bambu.project import SlicedFile
from bambu_connector.bambu.request import AmsMapping, GcodeFile, PrintOptions, ProjectFile, Request
from bambu_connector.bambu.view import View
from bambu_connector.errors import FileInvalid
from bambu_connector.printago.orders import StartOptions
from bambu_connector.translate.mapping import map_filaments

_SAME_NOZZLE_MM: Final = 0.01
_CARD_FOLDER: Final = {StartUrl.SDCARD: "/sdcard/", StartUrl.USB: "/media/usb0/"}


@dataclass(frozen=True, slots=True)
class Start:
    """A print that could be started: `sliced` is None for plain g-code."""

    file: str
    name: str
    job_number: int
    sliced: SlicedFile | None
    md5: str


def check_machine(sliced: SlicedFile, view: View, traits: Traits) -> None:
    """Raise FileInvalid when the file was sliced for another model or nozzle; what nobody tells is not judged."""
    target = sliced.printer_model_id
    if target and not can_run(traits, target):
        raise FileInvalid(f"The file was sliced for model {target}, and this is a {traits.display_name}.")
    fitted = [nozzle.diameter for nozzle in view.nozzles if nozzle.diameter is not None]
    for wanted in sliced.nozzle_diameters:
        if fitted and all(abs(wanted - each) > _SAME_NOZZLE_MM for each in fitted):
            has = " and ".join(f"{each:g}" for each in sorted(set(fitted)))
            raise FileInvalid(f"The file was sliced for a nozzle of {wanted:g} mm, and the printer has {has} mm.")


def feed(sliced: SlicedFile, options: StartOptions, view: View, traits: Traits) -> AmsMapping:
    """Return what feeds the print. Raises FilamentMismatch."""
    return map_filaments(
        sliced.filaments,
        sliced.filament_count,
        units=view.ams,
        external=view.external,
        traits=traits,
        use_ams=options.use_ams,
        mapping=options.ams_mapping,
    )


def print_options(options: StartOptions, traits: Traits) -> PrintOptions:
    """Fill in the contract's defaults."""
    vibration = options.vibration_cali
    return PrintOptions(
        bed_type=options.bed_type or "auto",
        bed_leveling=options.do_bed_leveling is not False,
        flow_cali=options.do_flow_cali is True,
        vibration_cali=traits.vibration_cali if vibration is None else vibration,
        layer_inspect=options.layer_inspect is True,
        timelapse=options.timelapse is True,
    )


def start_request(start: Start, options: StartOptions, ams: AmsMapping, traits: Traits) -> Request:
    """Return the request that starts the print."""
    if start.sliced is None:
        return GcodeFile(_CARD_FOLDER.get(traits.start_url, "") + start.file)
    return ProjectFile(
        file=start.file,
        url=traits.start_url.of(start.file),
        plate=start.sliced.plate,
        subtask_name=start.name,
        job_number=start.job_number,
        md5=start.md5 if traits.send_md5 else "",
        options=print_options(options, traits),
        ams=ams,
    )


def resolved(options: StartOptions, traits: Traits, plate: int | None) -> StartOptions:
    """Return the options with their defaults filled in, as the status tells them."""
    filled = print_options(options, traits)
    return StartOptions(
        plate=plate,
        use_ams=options.use_ams,
        ams_mapping=options.ams_mapping,
        bed_type=filled.bed_type,
        do_bed_leveling=filled.bed_leveling,
        do_flow_cali=filled.flow_cali,
        vibration_cali=filled.vibration_cali,
        layer_inspect=filled.layer_inspect,
        timelapse=filled.timelapse,
        job_id=options.job_id,
    )
