"""The sentences that reports are made of: the usual bank, and one that no encoder was trained on."""

from dataclasses import dataclass

__all__ = ["UNSEEN", "USUAL", "Wording"]


@dataclass(frozen=True, slots=True)
class Wording:
    """One way of writing. Sentences of ``present`` may have ``{grade}``, ``{side}``, ``{zone}``, each maybe empty."""

    present: dict[str, tuple[str, ...]]
    absent: dict[str, tuple[str, ...]]
    grades: tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]  # mild, moderate, severe
    sides: dict[str, str]
    zones: tuple[str, str, str]  # apex to base
    views: dict[str, tuple[str, ...]]
    sexes: dict[str, tuple[str, ...]]
    normal: tuple[str, ...]
    rest: tuple[str, ...]


USUAL = Wording(
    present={
        "cardiomegaly": (
            "The heart is enlarged, {grade}.",
            "There is {grade} cardiomegaly.",
            "The cardiac silhouette shows {grade} enlargement.",
            "Enlarged heart, {grade} cardiomegaly.",
            "{grade} enlargement of the heart.",
        ),
        "edema": (
            "There is {grade} pulmonary edema.",
            "{grade} interstitial edema with perihilar haze.",
            "Findings of {grade} pulmonary edema.",
            "Perihilar haze and septal lines, {grade} edema.",
            "{grade} pulmonary vascular congestion and edema.",
        ),
        "effusion": (
            "There is a {grade} {side} pleural effusion.",
            "{grade} {side} effusion blunts the costophrenic angle.",
            "A {grade} {side} pleural effusion is seen.",
            "{grade} {side} pleural fluid.",
            "Layering {side} effusion, {grade}.",
        ),
        "nodule": (
            "There is a {grade} nodule in the {side} {zone} lung.",
            "A {grade} {side} {zone} pulmonary nodule.",
            "{grade} round nodule, {side} {zone} lung.",
            "A solitary {side} pulmonary nodule is seen.",
            "{grade} nodular density in the {side} lung.",
        ),
        "opacity": (
            "There is a {grade} {side} {zone} opacity.",
            "{grade} airspace opacity in the {side} {zone} lung.",
            "Patchy {grade} {side} {zone} opacity.",
            "A {grade} {side} {zone} consolidation.",
            "{grade} focal opacity in the {side} lung.",
        ),
        "pacemaker": (
            "A {side} chest pacemaker is present.",
            "{side} pacemaker with leads in place.",
            "Pacemaker leads end in the right ventricle.",
            "A {side} pectoral pacemaker device with its lead.",
            "A cardiac pacemaker is seen.",
        ),
        "pneumothorax": (
            "There is a {grade} {side} pneumothorax.",
            "{grade} {side} apical pneumothorax.",
            "A {grade} {side} pneumothorax is seen.",
            "{side} pneumothorax, {grade}, with a visible pleural line.",
            "{grade} pneumothorax in the {side} chest.",
        ),
    },
    absent={
        "cardiomegaly": (
            "The heart size is normal.",
            "No cardiomegaly.",
            "The heart is not enlarged.",
            "The cardiac silhouette is normal in size.",
        ),
        "edema": (
            "No pulmonary edema.",
            "There is no edema.",
            "No pulmonary vascular congestion or edema.",
            "The pulmonary vessels are normal, no edema.",
        ),
        "effusion": (
            "No pleural effusion.",
            "There is no effusion.",
            "The costophrenic angles are clear without effusion.",
            "No pleural fluid.",
        ),
        "nodule": (
            "No pulmonary nodule.",
            "There is no nodule.",
            "No nodule is seen.",
            "The lungs are free of nodules, no nodular density.",
        ),
        "opacity": (
            "No focal opacity.",
            "There is no consolidation.",
            "No airspace opacity.",
            "The lungs are clear of opacity, no consolidation.",
        ),
        "pacemaker": (
            "No pacemaker.",
            "There is no pacemaker.",
            "No cardiac pacemaker device is seen.",
            "No pacemaker leads.",
        ),
        "pneumothorax": (
            "No pneumothorax.",
            "There is no pneumothorax.",
            "No evidence of pneumothorax.",
            "No pneumothorax or pleural line is seen.",
        ),
    },
    grades=(("mild", "small", "subtle"), ("moderate", "medium"), ("severe", "large", "marked")),
    sides={"left": "left", "right": "right", "both": "bilateral"},
    zones=("upper", "mid", "lower"),
    views={
        "PA": ("PA view of the chest.", "Upright PA film of the chest.", "Frontal PA radiograph."),
        "AP": ("AP view of the chest.", "Portable supine AP film.", "Portable AP radiograph."),
    },
    sexes={"F": ("Female patient.", "The patient is a woman."), "M": ("Male patient.", "The patient is a man.")},
    normal=("No acute cardiopulmonary abnormality.", "Normal chest film.", "No acute disease."),
    rest=(
        "The bones are intact.",
        "The mediastinal contours are unremarkable.",
        "The trachea is midline.",
        "No comparison film.",
        "Degenerative change of the spine.",
    ),
)

UNSEEN = Wording(
    present={
        "cardiomegaly": (
            "Cardiomegaly noted to a {grade} degree.",
            "Cardiothoracic ratio suggests an enlarged heart.",
            "{grade} enlargement of the cardiac shadow.",
            "Heart: {grade} enlarged.",
        ),
        "edema": (
            "Appearances compatible with {grade} edema.",
            "Congestion and septal thickening suggest {grade} pulmonary edema.",
            "Edema, {grade}, in a perihilar distribution.",
            "Fluid overload with {grade} interstitial edema.",
        ),
        "effusion": (
            "Effusion {side}, {grade} in amount.",
            "Fluid in the {side} pleural space, {grade} effusion.",
            "Meniscus of a {grade} {side} effusion.",
            "Blunting on account of {grade} {side} pleural effusion.",
        ),
        "nodule": (
            "Nodule projecting over the {zone} lung {side}.",
            "Rounded {grade} nodule noted {side}.",
            "Coin lesion, a {grade} nodule {side}.",
            "Indeterminate pulmonary nodule in the {zone} lung {side}.",
        ),
        "opacity": (
            "Opacity projecting over the {zone} lung {side}, {grade}.",
            "Opacification of {grade} degree {side}, airspace consolidation.",
            "{grade} consolidation noted {side}.",
            "Infiltrate, a {grade} opacity {side}.",
        ),
        "pacemaker": (
            "Pacemaker noted {side}.",
            "Implanted pacemaker with intact leads.",
            "Status post pacemaker insertion {side}.",
            "Pacing device: pacemaker generator {side}.",
        ),
        "pneumothorax": (
            "Pneumothorax noted {side}, {grade} in size.",
            "Free pleural air {side}, {grade} pneumothorax.",
            "Partial lung collapse from a {grade} {side} pneumothorax.",
            "Apical pneumothorax {side} of {grade} extent.",
        ),
    },
    absent={
        "cardiomegaly": ("Heart of normal size.", "Cardiomegaly is not present.", "Normal heart."),
        "edema": ("Edema is not present.", "Negative for edema.", "No signs of pulmonary edema."),
        "effusion": ("Effusion is not present.", "Negative for effusion.", "No signs of pleural effusion."),
        "nodule": ("A nodule is not present.", "Negative for nodule.", "No signs of a pulmonary nodule."),
        "opacity": ("Opacity is not present.", "Negative for consolidation.", "No signs of an airspace opacity."),
        "pacemaker": ("A pacemaker is not present.", "Negative for pacemaker.", "No signs of a pacemaker."),
        "pneumothorax": ("Pneumothorax is not present.", "Negative for pneumothorax.", "No signs of pneumothorax."),
    },
    grades=(("slight", "minor"), ("intermediate", "moderate"), ("extensive", "pronounced")),
    sides={"left": "on the left", "right": "on the right", "both": "on both sides"},
    zones=("superior", "central", "basal"),
    views={
        "PA": ("Technique: PA projection.", "Erect posteroanterior study."),
        "AP": ("Technique: AP projection.", "Bedside anteroposterior study."),
    },
    sexes={"F": ("Adult woman.", "Sex: female."), "M": ("Adult man.", "Sex: male.")},
    normal=("Study within normal limits.", "Unremarkable examination."),
    rest=("Osseous structures unremarkable.", "Soft tissues unremarkable.", "Airway central."),
)
