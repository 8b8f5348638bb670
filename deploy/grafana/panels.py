"""What the dashboards share: where their data comes from, panels that always say what they show, and annotations."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, TypeVar

from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.builders import dashboard as dashboards
from grafana_foundation_sdk.builders import prometheus, stat, table, timeseries
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from deploy.grafana import promql

DATASOURCE = common.DataSourceRef(type_val="prometheus", uid="${datasource}")
PLAIN, TALL = 8, 10
"""Heights in Grafana's rows; a dashboard is 24 columns wide."""
GOOD, WARNING, BAD = "green", "yellow", "red"
Colours = Sequence[tuple[float, str]]
"""From which value on which colour; the first one also below its value."""
ALL_GOOD: Colours = ((0.0, GOOD),)
Panel = timeseries.Panel | stat.Panel | table.Panel
Builder = TypeVar("Builder", timeseries.Panel, stat.Panel, table.Panel)


class Says(NamedTuple):
    """What a panel says about itself: its title, what it shows and what to make of that, and its unit."""

    title: str
    description: str
    unit: str


class Ask(NamedTuple):
    """One query, and how its series are named."""

    expression: str
    legend: str = ""


def lines(says: Says, *asks: Ask, width: int = 12, is_share: bool = False) -> timeseries.Panel:
    """Lines over time; shares are drawn from 0 to 1."""
    panel = _told(timeseries.Panel(), says, width, PLAIN)
    panel.line_width(1).fill_opacity(8).legend(
        common_builders.VizLegendOptions()
        .display_mode(common.LegendDisplayMode.LIST)
        .placement(common.LegendPlacement.BOTTOM)
        .show_legend(True)
    ).tooltip(common_builders.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI))
    if is_share:
        panel.min(0).max(1)
    return _asking(panel, asks)


def bars(says: Says, *asks: Ask, width: int = 12) -> timeseries.Panel:
    """Stacked bars over time, for what happens now and then."""
    panel = lines(says, *asks, width=width).draw_style(common.GraphDrawStyle.BARS).fill_opacity(70).min(0)
    return panel.stacking(common_builders.StackingConfig().mode(common.StackingMode.NORMAL))


def number(says: Says, ask: Ask, colours: Colours = ALL_GOOD, width: int = 4, is_name: bool = False) -> stat.Panel:
    """One number; `is_name` shows the legend instead of it."""
    panel = _told(stat.Panel(), says, width, 4).thresholds(thresholds(colours))
    panel.graph_mode(common.BigValueGraphMode.NONE).no_value("–")
    panel.reduce_options(common_builders.ReduceDataOptions().calcs(["lastNotNull"]))
    if is_name:
        panel.text_mode(common.BigValueTextMode.NAME)
    return _asking(panel, [ask])


def champion(width: int = 4) -> stat.Panel:
    """The version that is served, by its number."""
    served = Ask(promql.now("lifelong_champion_version_info"), "{{version}}")
    return number(Says("Champion", "The version that is served.", "none"), served, width=width, is_name=True)


def matrix(says: Says, ask: Ask, rows: str, columns: str, colours: Colours) -> table.Panel:
    """A table with a row and a column for each value of two labels, its cells coloured by value."""
    panel = _told(table.Panel(), says, 24, TALL).thresholds(thresholds(colours)).no_value("–").decimals(1)
    panel.cell_options(common.TableColoredBackgroundCellOptions(mode=common.TableCellBackgroundDisplayMode.BASIC))
    options = {"rowField": rows, "columnField": columns, "valueField": "Value", "emptyValue": "null"}
    panel.with_transformation(models.DataTransformerConfig(id_val="groupingToMatrix", options=options))
    return panel.with_target(_query(ask).ref_id("A").instant().format(PromQueryFormat.TABLE))


def thresholds(colours: Colours) -> dashboards.ThresholdsConfig:
    """Colours by value, as a panel's settings."""
    lowest, *steps = colours
    listed = [models.Threshold(value=None, color=lowest[1])]
    listed += [models.Threshold(value=value, color=colour) for value, colour in steps]
    return dashboards.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(listed)


def warns_from(value: float) -> Colours:
    """Green, and yellow from a value on."""
    return ((0.0, GOOD), (value, WARNING))


def falling_from(warning: float, bad: float) -> Colours:
    """Green, yellow from one value on and red from another."""
    return ((0.0, GOOD), (warning, WARNING), (bad, BAD))


def dashboard(uid: str, title: str, description: str, rows: Mapping[str, Sequence[Panel]]) -> dashboards.Dashboard:
    """A dashboard of one model, with rows of panels by their titles.

    Where its data comes from, which service and which of its models are chosen at its top.
    """
    made = dashboards.Dashboard(f"Lifelong / {title}").uid(uid).description(description).tags(["lifelong"])
    made.refresh("30s").time("now-6h", "now").timezone("browser").tooltip(models.DashboardCursorSync.CROSSHAIR)
    made.with_variable(dashboards.DatasourceVariable("datasource").label("Data source").type("prometheus"))
    made.with_variable(_choice("job", "Service", "lifelong_trainer_up"))
    made.with_variable(_choice("model", "Model", 'lifelong_trainer_up{job="$job"}')).link(_others())
    for mark in _marks():
        made.annotation(mark)
    for name, panels in rows.items():
        made.with_row(dashboards.Row(name))
        for panel in panels:
            made.with_panel(panel)
    return made


def _choice(label: str, title: str, selector: str) -> dashboards.QueryVariable:
    """One of the values that a label has."""
    choice = dashboards.QueryVariable(label).label(title).datasource(DATASOURCE)
    choice.query(f"label_values({selector}, {label})").refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
    return choice.sort(models.VariableSort.ALPHABETICAL_ASC)


def _marks() -> Iterator[dashboards.AnnotationQuery]:
    """A mark wherever the champion changed, at the very moment that the service says."""
    promoted = promql.now("lifelong_promotion_timestamp_seconds")
    rolled_back = promql.now("lifelong_rollback_timestamp_seconds")
    for name, color, expression in (
        ("Promotions", "green", f"1000 * ({promoted} unless ({promoted} == {rolled_back}))"),
        ("Rollbacks", "orange", f"1000 * {rolled_back}"),
    ):
        mark = dashboards.AnnotationQuery().name(name).datasource(DATASOURCE).enable(True).icon_color(color)
        mark.expr(expression).use_value_for_time(True).title_format(name.removesuffix("s")).text_format("{{model}}")
        yield mark


def _others() -> dashboards.DashboardLink:
    link = dashboards.DashboardLink("Lifelong").type(models.DashboardLinkType.DASHBOARDS).tags(["lifelong"])
    return link.as_dropdown(True).include_vars(True).keep_time(True)


def _told(panel: Builder, says: Says, width: int, height: int) -> Builder:
    panel.title(says.title).description(says.description).unit(says.unit)
    return panel.datasource(DATASOURCE).span(width).height(height)


def _asking(panel: Builder, asks: Sequence[Ask]) -> Builder:
    for place, ask in enumerate(asks):
        panel.with_target(_query(ask).ref_id(chr(ord("A") + place)).range())
    return panel


def _query(ask: Ask) -> prometheus.Dataquery:
    return prometheus.Dataquery().expr(ask.expression).legend_format(ask.legend).datasource(DATASOURCE)
