"""A template and what fills it -> the text of a page."""

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined


def fill_template(package: str, name: str, **values: Any) -> str:
    """Fill a template of a package's folder ``templates``.

    Parameters
    ----------
    package : str
        Such as ``kneegrade.apps.pages``.
    name : str
        Of the file.
    **values
        What the template names. Text in it is escaped for HTML.

    Raises
    ------
    jinja2.UndefinedError
        If the template names what is not given.
    """
    environment = Environment(
        loader=PackageLoader(package),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name).render(values)
