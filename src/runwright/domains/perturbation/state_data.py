"""What becomes of STATE's settings of the data."""

from typing import Any, Final

from runwright import NoEqual, Original, Rule, Taken

DATA: Final = "data.kwargs"
MODEL: Final = "model.kwargs"
UNREAD: Final = "nothing reads it"

_CONCENTRATION_CONTROL: Final = "[('DMSO_TF', 0.0, 'uM')]"


def predicts_variable_genes(original: Original) -> bool:
    """Whether cells are the expression of the variable genes, of which no others are decoded."""
    return (
        original.get(f"{DATA}.embed_key") == "X_hvg"
        and original.get(f"{DATA}.output_space") != "all"
    )


def is_decoded(original: Original) -> bool:
    """Whether a decoder of genes is trained."""
    return (
        original.get(f"{DATA}.embed_key") is not None
        and original.get(f"{DATA}.output_space") in ("gene", "all")
        and not predicts_variable_genes(original)
        and original.get(f"{MODEL}.gene_decoder_bool", True)
    )


def _embed_key(value: Any, original: Original) -> Taken:
    if predicts_variable_genes(original):
        note = "X_hvg is the expression of the variable genes, as dm.output_space=gene gives it"
        return Taken({"dm.embed_key": None}, note)
    return Taken({"dm.embed_key": value})


def _output_space(value: Any, original: Original) -> Taken | NoEqual:
    if predicts_variable_genes(original):
        return Taken({"dm.output_space": "gene"})
    if original.get(f"{DATA}.embed_key") is None and value != "all":
        why = "without an embedding it predicts all genes, but not with the layer that all adds"
        way = "dm.output_space=gene would predict the variable genes only"
        return NoEqual(why, way, {"dm.output_space": "all"})
    if is_decoded(original) or original.get(f"{DATA}.embed_key") is None:
        return Taken({"dm.output_space": value})
    clipped = "here the values of an embedding below 0 are not set to 0"
    if value == "all":
        options = {"dm.output_space": value, "objective.decoder_loss_weight": 0.0}
        return Taken(options, f"its genes are not decoded; {clipped}")
    return Taken({"dm.output_space": "embedding"}, clipped)


def _control(value: Any, original: Original) -> Taken:
    if original.get(f"{DATA}.pert_col") == "drugname_drugconc":
        note = "the only control with pert_col=drugname_drugconc"
        return Taken({"dm.control_pert": _CONCENTRATION_CONTROL}, note)
    return Taken({"dm.control_pert": value})


def _downsample_cells(value: Any, _: Original) -> Taken:
    note = "" if value is None else "here of the training only"
    return Taken({"dm.downsample_cells": value}, note)


def _val_subsample(value: Any, _: Original) -> Taken:
    if value in (None, 1.0):
        return Taken({"dm.val_subsample_fraction": None})
    note = "of the cells here, of the cell types in the original"
    return Taken({"dm.val_subsample_fraction": value}, note)


DATA_RULES: Final = [
    Rule.only(
        "data.name",
        "PerturbationDataModule",
        why="it is another data module",
        way="dm=perturbation reads h5ad files that a TOML file names",
    ),
    Rule.taken(f"{DATA}.toml_config_path", "dm.toml_config_path"),
    Rule(f"{DATA}.embed_key", _embed_key),
    Rule(f"{DATA}.output_space", _output_space),
    Rule.inert(f"{DATA}.pert_rep", "perturbation_features_file decides"),
    Rule.inert(f"{DATA}.basal_rep", UNREAD),
    Rule.taken(f"{DATA}.num_workers", "dm.num_workers"),
    Rule.inert(f"{DATA}.pin_memory", "memory is always pinned, here if there is a GPU"),
    Rule.inert(f"{DATA}.n_basal_samples", "one control is taken whatever it is"),
    Rule.only(
        f"{DATA}.downsample",
        *(None, 1.0),
        why="it draws fewer counts from each cell",
        way="Do it once, when the files are written",
    ),
    Rule(f"{DATA}.downsample_cells", _downsample_cells),
    Rule.inert(f"{DATA}.additional_obs", "training does not read these columns"),
    Rule.taken(f"{DATA}.basal_mapping_strategy", "dm.basal_mapping_strategy"),
    Rule.taken(f"{DATA}.should_yield_control_cells", "dm.should_yield_control_cells", absent=True),
    Rule.taken(f"{DATA}.batch_col", "dm.batch_col", absent="gem_group"),
    Rule.taken(f"{DATA}.pert_col", "dm.pert_col", absent="gene"),
    Rule.taken(f"{DATA}.cell_type_key", "dm.cell_type_key", absent="cell_type"),
    Rule(f"{DATA}.control_pert", _control, absent="non-targeting"),
    Rule.inert(f"{DATA}.map_controls", "controls are predicted from others whatever it is"),
    Rule.taken(f"{DATA}.perturbation_features_file", "dm.perturbation_features_file"),
    Rule.inert(f"{DATA}.store_raw_basal", "the model does not read the counts of the controls"),
    Rule.inert(f"{DATA}.int_counts", UNREAD),
    Rule.inert(f"{DATA}.barcode", "training does not read barcodes"),
    Rule.only(
        f"{DATA}.use_consecutive_loading",
        False,
        why="it makes sets of cells that are neighbours in the file",
        way="Leave it out: random sets are as fast here",
    ),
    Rule(f"{DATA}.val_subsample_fraction", _val_subsample),
    Rule.only(
        f"{DATA}.cache_perturbation_control_pairs",
        False,
        why="it keeps the first control that each cell was given for the whole training",
        way="Leave it out: in every epoch a cell gets another control",
    ),
    Rule.only(
        f"{DATA}.drop_last",
        False,
        why="it leaves out cells that do not fill a set",
        way="Leave it out: such sets are filled by drawing their cells again",
    ),
    *(Rule.inert(f"{at}.output_dir", UNREAD) for at in (DATA, "data")),
    *(Rule.inert(f"{at}.debug", UNREAD) for at in (DATA, "data")),
]
