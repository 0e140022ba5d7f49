"""``baft edit``: one edit, without the workflow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from baft.config import method_settings
from baft.config.reading import read_value
from baft.errors import UserError

app = typer.Typer()


@app.command()
def edit(
    prompt: Annotated[str, typer.Argument(help="The prompt to be answered differently.")],
    subject: Annotated[str, typer.Option(help="What the prompt is about; must occur in it.")],
    target: Annotated[str, typer.Option(help="The new answer.")],
    model: Annotated[str, typer.Option(help="Embedded model, local folder, or hub id.")] = "smollm2-135m",
    method: Annotated[str, typer.Option(help="Name of a method, or path of a file that holds one.")] = "baft",
    ask: Annotated[list[str] | None, typer.Option(help="Another prompt to answer before and after.")] = None,
    save: Annotated[Path | None, typer.Option(help="Folder to save the edit in.")] = None,
    revision: Annotated[str | None, typer.Option(help="Commit of the model on the hub, 40 hex digits.")] = None,
    dtype: Annotated[str | None, typer.Option(help="Number format: float32, bfloat16 or float16.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu or cuda.")] = None,
    prompt_format: Annotated[str | None, typer.Option(help="plain or chat.")] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(help="Any other option of a model in a study's config, as key=value: template_date, modules …"),
    ] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", help="Setting of the method, as key=value.")] = None,
) -> None:
    """Make one edit and print the answers before and after it."""
    chosen = _all_given(settings or [], "--set")
    more = _all_given(option or [], "--option")
    # Before torch is imported: a mistake is told at once.
    method_settings(method, given=chosen)
    from baft.library import edit_command as run

    run(
        model=model,
        method=method,
        subject=subject,
        target=target,
        prompt=prompt,
        ask=ask or [],
        save=save,
        settings=chosen,
        given=_once({"revision": revision, "dtype": dtype, "device": device, "prompt_format": prompt_format}, more),
    )


def _once(named: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """The options of the model. Raises UserError for one that is given in both ways."""
    given = {key: value for key, value in named.items() if value is not None}
    if twice := given.keys() & more.keys():
        raise UserError(f"--option {sorted(twice)[0]} is given twice: leave one of them out.")
    return given | dict(more)


def _all_given(texts: Sequence[str], option: str) -> dict[str, Any]:
    """What an option gives by key. Raises UserError for a key that is given twice."""
    pairs = [_given(text, option) for text in texts]
    keys = [key for key, _ in pairs]
    if twice := [key for key in keys if keys.count(key) > 1]:
        raise UserError(f"{option} {twice[0]} is given twice: leave one of them out.")
    return dict(pairs)


def _given(text: str, option: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise UserError(f"{option} is {text!r}, but must be key=value.")
    return key, read_value(value, f"{option} {key}")
