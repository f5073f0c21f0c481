"""Finding YAML files that do not contain options, on which Hydra fails with errors of its own."""

from collections.abc import Iterator
from pathlib import Path

import yaml

from runwright.compose._hydra import Repository
from runwright.compose._omegaconf import yaml_loader


def wrong_shape(repository: Repository, config: str) -> str | None:
    """What is wrong with the shape of a configuration's file, e.g. of `model/cnn`, or None."""
    file = file_of(config, repository)
    return None if file is None else _wrong_shape(file)


def file_of(config: str, repository: Repository) -> Path | None:
    """The file of a configuration, e.g. of `model/cnn`; None if it is no file."""
    for source in repository.sources:
        if source.scheme() == "file" and source.is_config(config):
            return Path(source.path) / f"{config}.yaml"
    return None


def wrong_shapes(repository: Repository) -> list[str]:
    """A text for every file on the search path that has the wrong shape."""
    folders = [Path(one.path) for one in repository.sources if one.scheme() == "file"]
    files = [file for folder in folders for file in sorted(folder.rglob("*.yaml"))]
    return [text for file in files if file.is_file() and (text := _wrong_shape(file))]


def _wrong_shape(file: Path) -> str | None:
    try:
        text = file.read_text()
        loader = yaml_loader(text)
        root = loader.get_single_node()
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return None  # reported when the file is loaded
    if root is None:
        return None
    if not isinstance(root, yaml.MappingNode):
        return f"{file}: the file must contain options, `name: value`, got {_shown(root)}."
    for node in _at(root, "hydra"):
        if not isinstance(node, yaml.MappingNode):
            return (
                f"{file}, line {node.start_mark.line + 1}: `hydra` must contain Hydra's options, "
                f"e.g. `hydra: {{job: {{name: mine}}}}`, got {_shown(node)}. Without any, leave it "
                "out."
            )
    return None


def _at(root: yaml.MappingNode, key: str) -> Iterator[yaml.Node]:
    yield from (value for name, value in root.value if name.value == key)


def _shown(node: yaml.Node) -> str:
    if isinstance(node, yaml.ScalarNode):
        return node.value or "null"
    return "a list" if isinstance(node, yaml.SequenceNode) else "options"


def wrong_suffixes(repository: Repository) -> list[str]:
    """A text for every file on the search path that Hydra ignores because of its suffix."""
    return [
        f"{file}: only files with the suffix .yaml are read. Rename it to {file.stem}.yaml."
        for file in _files(repository, "*.yml")
    ]


def not_in_utf8(repository: Repository) -> list[str]:
    """A text for every YAML file on the search path in another encoding."""
    texts: list[str] = []
    for file in _files(repository, "*.yaml"):
        content = file.read_bytes()
        try:
            content.decode()
        except UnicodeDecodeError as error:
            line = content.count(b"\n", 0, error.start) + 1
            texts.append(f"{file}, line {line}: the file is not UTF-8. Save it as UTF-8.")
    return texts


def _files(repository: Repository, pattern: str) -> Iterator[Path]:
    """The files that match a pattern in the folders of the search path."""
    for source in repository.sources:
        if source.scheme() == "file":
            found = Path(source.path).rglob(pattern)
            yield from sorted(path for path in found if path.is_file())
