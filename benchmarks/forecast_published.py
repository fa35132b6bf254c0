"""Published figures that stand beside ours in `forecast.py`, each with its source.

M4: the organisers' sheet (Makridakis, Spiliotis & Assimakopoulos 2020). Tourism: the monash archive's table and the
competition's paper. ETTh1: the table of SegRNN's paper, a window of 720 for all.
"""

from __future__ import annotations

# Seasonal naive: M4's and the tourism competition's own figures, to the digits published.
NAIVE_ROWS: dict[str, dict[str, float]] = {
    "M4 Hourly": {"smape": 13.912, "mase": 1.193},
    "M4 Weekly": {"smape": 9.161, "mase": 2.777},
    "Tourism monthly": {"mase": 1.631},
    "Tourism quarterly": {"mase": 1.699},
    "Tourism yearly": {"mase": 3.007},
}
ETT_NAIVE = (0.512, 0.433)

M4_SOURCE = "M4, Evaluation and Ranks"
MONASH = "Monash archive, Godahewa et al. 2021, table 2"
TCOMP = "Athanasopoulos et al. 2011"
SEGRNN = "SegRNN, Lin et al. 2023, table II"
# Model, sMAPE, MASE, source.
PUBLISHED: dict[str, list[tuple[str, float | None, float, str]]] = {
    "M4 Hourly": [
        ("ES-RNN, winner of M4", 9.328, 0.893, M4_SOURCE),
        ("best entry (Pawlikowski)", 9.611, 0.873, M4_SOURCE),
        ("RNN of the organisers", 14.698, 3.048, M4_SOURCE),
        ("Theta", 18.138, 2.455, M4_SOURCE),
    ],
    "M4 Weekly": [
        ("best entry (Petropoulos, Svetunkov)", 6.726, 2.133, M4_SOURCE),
        ("ES-RNN, winner of M4", 7.817, 2.356, M4_SOURCE),
        ("RNN of the organisers", 15.220, 5.132, M4_SOURCE),
        ("Theta", 9.093, 2.637, M4_SOURCE),
    ],
    "Tourism monthly": [
        ("DeepAR", None, 1.409, MONASH),
        ("N-BEATS", None, 1.574, MONASH),
        ("ETS", None, 1.526, MONASH),
        ("Theta", None, 1.65, TCOMP),
    ],
    "Tourism quarterly": [
        ("DeepAR", None, 1.597, MONASH),
        ("N-BEATS", None, 1.475, MONASH),
        ("ETS", None, 1.592, MONASH),
        ("Theta", None, 1.66, TCOMP),
    ],
    "Tourism yearly": [
        ("DeepAR", None, 3.205, MONASH),
        ("N-BEATS", None, 2.977, MONASH),
        ("ETS", None, 3.395, MONASH),
        ("Theta", None, 2.73, TCOMP),
    ],
}
# Model: (MSE, MAE) by horizon.
ETT_PUBLISHED = {
    "SegRNN (window 720)": {96: (0.351, 0.392), 192: (0.392, 0.414), 336: (0.423, 0.433), 720: (0.466, 0.472)},
    "PatchTST (window 720)": {96: (0.375, 0.404), 192: (0.418, 0.430), 336: (0.462, 0.460), 720: (0.495, 0.497)},
    "DLinear (window 720)": {96: (0.381, 0.407), 192: (0.419, 0.430), 336: (0.454, 0.456), 720: (0.499, 0.512)},
    "plain GRU, recursive": {96: (1.135, 0.844), 192: (1.123, 0.814), 336: (1.080, 0.807), 720: (1.089, 0.822)},
    "DeepAR": {96: (1.097, 0.803), 192: (1.080, 0.793), 336: (1.076, 0.800), 720: (1.079, 0.815)},
}
