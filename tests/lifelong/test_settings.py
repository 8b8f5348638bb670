"""One YAML file and the environment become settings, or one line that says what is wrong."""

from pathlib import Path

import pytest

from contracts.errors import InvalidConfiguration
from lifelong.settings import Setting, Settings, effective, load_all, load_settings, require_buildable
from networks.settings import ConvSpec, MlpSpec

pytestmark = pytest.mark.unit
MINIMAL = "model: digits\ninput: {kind: tensor, shape: [784]}\n"


def written(directory: Path, text: str, name: str = "config.yaml") -> Path:
    path = directory / name
    path.write_text(text)
    return path


def fault(path: Path) -> str:
    with pytest.raises(InvalidConfiguration) as caught:
        load_settings(path)
    return caught.value.detail


def test_only_model_and_input_are_required(tmp_path: Path) -> None:
    settings = load_settings(written(tmp_path, MINIMAL))
    assert settings.model == "digits"
    assert settings.network == MlpSpec()
    assert [strategy["kind"] for strategy in settings.strategies] == ["replay", "ewc"]


def test_the_default_network_fits_the_input(tmp_path: Path) -> None:
    path = written(tmp_path, "model: pictures\ninput: {kind: image, shape: [28, 28]}\n")
    assert isinstance(load_settings(path).network, ConvSpec)


@pytest.mark.parametrize(
    ("addition", "said"),
    [
        ("learner: {batchsize: 3}", "config.yaml: learner.batchsize: unknown key; did you mean batch_size?"),
        ("lerner: {}", "config.yaml: lerner: unknown key; did you mean learner?"),
        ("network: {kind: mlp, hiden: [3]}", "config.yaml: network.hiden: unknown key; did you mean hidden?"),
        (
            "network: {kind: mpl}",
            "config.yaml: network.kind: must be one of mlp, conv, text, memory; did you mean mlp?",
        ),
        ("network: {hidden: [3]}", "config.yaml: network.kind: this key is required: one of mlp, conv, text, memory"),
        ("learner: {batch_size: 0}", "config.yaml: learner.batch_size: must be greater than 0"),
        ("learner: 3", "config.yaml: learner: must be a mapping of keys to values"),
        ("strategies: [replay, ewc]", "config.yaml: strategies.0: must be a mapping such as {kind: replay} (1 more)"),
        ("strategies: [{kind: l2}, 3]", "config.yaml: strategies.1: must be a mapping such as {kind: replay}"),
        ("labels: {scenario: domain}", "config.yaml: labels.names: the domain scenario needs the list of labels"),
        (
            "feedback: {kind: kafka, bootstrap_server: x}",
            "config.yaml: feedback.bootstrap_server: unknown key; did you mean bootstrap_servers? (1 more)",
        ),
        (
            "network: {kind: text}",
            "config.yaml: network.kind text reads a string, but an instance is numbers of shape [784]",
        ),
    ],
)
def test_a_fault_is_one_line_with_the_key_and_the_one_probably_meant(tmp_path: Path, addition: str, said: str) -> None:
    assert fault(written(tmp_path, MINIMAL + addition)) == said


def test_a_missing_key_is_named(tmp_path: Path) -> None:
    assert fault(written(tmp_path, "model: digits")) == "config.yaml: input: this key is required"


def test_a_word_that_is_like_nothing_gets_the_list_of_keys(tmp_path: Path) -> None:
    said = fault(written(tmp_path, f"{MINIMAL}tasks: {{zzz: 1}}"))
    known = "backlog_events, close_after_events, close_after_idle_seconds, curriculum"
    assert said == f"config.yaml: tasks.zzz: unknown key; known are {known}"


def test_a_fault_never_repeats_a_value(tmp_path: Path) -> None:
    kafka = "feedback: {kind: kafka, bootstrap_servers: 'a:1', password: [hunter2]}"
    assert "hunter2" not in fault(written(tmp_path, MINIMAL + kafka))


def test_the_environment_overrides_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, f"{MINIMAL}learner: {{batch_size: 32, seed: 7}}")
    monkeypatch.setenv("LIFELONG__LEARNER__BATCH_SIZE", "64")
    monkeypatch.setenv("LIFELONG__INPUT__SHAPE", "[28, 28]")
    monkeypatch.setenv("LIFELONG__STRATEGIES", '[{"kind": "l2"}]')
    settings = load_settings(path)
    assert (settings.learner.batch_size, settings.learner.seed) == (64, 7)
    assert settings.input.row_shape == (28, 28)
    assert settings.strategies == [{"kind": "l2"}]


@pytest.mark.parametrize(
    ("variable", "said"),
    [
        ("LIFELONG__LERNER__SEED", "LIFELONG__LERNER__SEED: unknown key; did you mean learner?"),
        ("LIFELONG__LEARNER__SED", "LIFELONG__LEARNER__SED: learner.sed: unknown key; did you mean seed?"),
        ("LIFELONG__LEARNER__BATCH_SIZE", "LIFELONG__LEARNER__BATCH_SIZE: learner.batch_size: must be greater than 0"),
    ],
)
def test_a_fault_of_a_variable_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, said: str
) -> None:
    monkeypatch.setenv(variable, "0")
    assert fault(written(tmp_path, MINIMAL)) == said


def test_a_fault_of_the_file_is_not_blamed_on_a_variable_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIFELONG__LEARNER__SEED", "1")
    path = written(tmp_path, f"{MINIMAL}learner: {{seeds: 3}}")
    assert fault(path) == "config.yaml: learner.seeds: unknown key; did you mean seed?"


def test_a_variable_that_is_no_json_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIFELONG__STRATEGIES", "[ewc")
    assert fault(written(tmp_path, MINIMAL)) == "a LIFELONG__… variable of the environment is not valid JSON"


def test_variables_without_the_double_underscore_are_not_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIFELONG_DATA_DIR", "/somewhere")
    monkeypatch.setenv("MODEL", "other")
    assert load_settings(written(tmp_path, MINIMAL)).model == "digits"


def test_every_setting_says_where_it_came_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, f"{MINIMAL}learner: {{batch_size: 32}}")
    monkeypatch.setenv("LIFELONG__LEARNER__SEED", "5")
    shown = {setting.key: setting for setting in effective(load_settings(path), path)}
    assert shown["model"] == Setting("model", "digits", "config.yaml")
    assert shown["input.shape"] == Setting("input.shape", [784], "config.yaml")
    assert shown["learner.batch_size"] == Setting("learner.batch_size", 32, "config.yaml")
    assert shown["learner.seed"] == Setting("learner.seed", 5, "LIFELONG__LEARNER__SEED")
    assert shown["learner.threads"].origin == "default"


def test_what_an_entry_of_the_strategies_leaves_out_is_shown(tmp_path: Path) -> None:
    path = written(
        tmp_path, f"{MINIMAL}learner: {{seed: 5}}\nstrategies: [{{kind: replay, capacity: 50}}, {{kind: si}}]"
    )
    shown = [setting for setting in effective(load_settings(path), path) if setting.key.startswith("strategies")]
    assert shown == [
        Setting("strategies.0.kind", "replay", "config.yaml"),
        Setting("strategies.0.capacity", 50, "config.yaml"),
        Setting("strategies.0.rows", 128, "default"),
        Setting("strategies.0.selection", "class_balanced", "default"),
        Setting("strategies.0.weighting", "rows", "default"),
        Setting("strategies.0.scope", "all", "default"),
        Setting("strategies.0.seed", 5, "learner.seed"),
        Setting("strategies.1.kind", "si", "config.yaml"),
        Setting("strategies.1.strength", 100.0, "default"),
        Setting("strategies.1.damping", 0.1, "default"),
        Setting("strategies.1.gradient", "loss", "default"),
        Setting("strategies.1.importance", "clamped", "default"),
    ]


def test_strategies_of_the_environment_are_told_from_their_defaults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, f"{MINIMAL}strategies: [{{kind: replay}}]")
    monkeypatch.setenv("LIFELONG__STRATEGIES", '[{"kind": "l2", "strength": 2}]')
    shown = [setting for setting in effective(load_settings(path), path) if setting.key.startswith("strategies")]
    assert shown == [
        Setting("strategies.0.kind", "l2", "LIFELONG__STRATEGIES"),
        Setting("strategies.0.strength", 2, "LIFELONG__STRATEGIES"),
        Setting("strategies.0.anchors", "all", "default"),
    ]


@pytest.mark.parametrize(("addition", "kinds"), [("", ["replay", "ewc"]), ("strategies: []", [])])
def test_strategies_that_are_not_named_are_the_default_and_none_are_none(
    tmp_path: Path, addition: str, kinds: list[str]
) -> None:
    path = written(tmp_path, MINIMAL + addition)
    shown = [setting for setting in effective(load_settings(path), path) if setting.key.startswith("strategies")]
    assert [setting.value for setting in shown if setting.key.endswith(".kind")] == kinds
    assert {setting.origin for setting in shown} <= {"default", "learner.seed"} or shown[0].value == []


def test_secrets_are_masked(tmp_path: Path) -> None:
    kafka = "{kind: kafka, bootstrap_servers: 'a:1', security_protocol: SASL_SSL, sasl_mechanism: PLAIN, "
    addition = f"feedback: {kafka}username: me, password: hunter2}}\nregistry: {{uri: 'https://me:hunter2@host/x'}}"
    path = written(tmp_path, MINIMAL + addition)
    shown = effective(load_settings(path), path)
    assert "hunter2" not in str(shown)
    assert Setting("registry.uri", "https://**********@host/x", "config.yaml") in shown


def test_two_configurations_must_name_two_models(tmp_path: Path) -> None:
    paths = [written(tmp_path, MINIMAL, "a.yaml"), written(tmp_path, MINIMAL, "b.yaml")]
    with pytest.raises(InvalidConfiguration, match=r"b\.yaml: model: another configuration has this name too"):
        load_all(paths)


def test_two_models_of_one_service_must_agree_on_it(tmp_path: Path) -> None:
    other = "model: other\ninput: {kind: text}\nservice: {num_replicas: 2}"
    paths = [written(tmp_path, MINIMAL, "a.yaml"), written(tmp_path, other, "b.yaml")]
    with pytest.raises(InvalidConfiguration, match=r"b\.yaml: service: differs from a\.yaml"):
        load_all(paths)


@pytest.mark.parametrize(
    ("addition", "fault"),
    [
        ("network: {import: 'nosuch.module:build'}", "No module named 'nosuch'"),
        ("network: {import: 'tests.service.own_modules:build_failing'}", "ZeroDivisionError"),
        ("network: {import: 'tests.networks.own_modules:build'}\nstrategies: [{kind: ewk}]", "did you mean: ewc"),
    ],
)
def test_what_cannot_be_built_is_said_before_anything_starts(tmp_path: Path, addition: str, fault: str) -> None:
    settings = load_settings(written(tmp_path, f"{MINIMAL}{addition}"))
    with pytest.raises(InvalidConfiguration, match=fault):
        require_buildable(settings)


def test_a_strategy_that_makes_numbers_is_refused_where_instances_are_texts(tmp_path: Path) -> None:
    settings = load_settings(written(tmp_path, "model: m\ninput: {kind: text}\nstrategies: [{kind: generative}]"))
    with pytest.raises(InvalidConfiguration, match="generative needs instances that are numbers"):
        require_buildable(settings)


@pytest.mark.parametrize(
    ("addition", "code"),
    [
        ("strategies: [{kind: replay}, {kind: lwf}]", "indivisible_strategy"),
        ("network: {import: 'tests.networks.own_modules:build'}", "indivisible_module"),
        ("network: {import: 'tests.networks.own_modules:build_centred'}", "indivisible_module"),
    ],
)
def test_what_only_one_process_can_learn_is_refused_to_several(tmp_path: Path, addition: str, code: str) -> None:
    def settings(workers: int) -> Settings:
        text = f"model: m\ninput: {{kind: tensor, shape: [6]}}\nlearner: {{workers: {workers}}}\n{addition}"
        return load_settings(written(tmp_path, text))

    require_buildable(settings(workers=1))
    with pytest.raises(InvalidConfiguration) as refused:
        require_buildable(settings(workers=2))
    assert refused.value.code == code
