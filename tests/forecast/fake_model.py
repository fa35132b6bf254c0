"""A model that needs no training to speak of: the last season again, with the quantiles of what it missed by."""

import numpy as np

from bptt.forecast.frames.panel import columns_of


class SeasonalNaive:
    """The interface of the recurrent models, to the letter, with forecasts that a test can work out by hand.

    `fit` learns the quantiles of (y_t - y_{t-season}) over the rows it may see, in units of y, and counts how
    often it was called since the last restart.
    """

    def __init__(
        self,
        h,
        season=1,
        *,
        alias=None,
        quantiles=(0.1, 0.5, 0.9),
        futr_exog_list=(),
        hist_exog_list=(),
        stat_exog_list=(),
        calendar=False,
        strategy="direct",
        early_stop_patience_steps=-1,
        narrow=1.0,
        fails=False,
    ):
        self.h, self.season, self.narrow, self.fails = h, season, narrow, fails
        self.alias = type(self).__name__ if alias is None else alias
        self.quantiles = tuple(quantiles)
        self.futr_exog_list, self.hist_exog_list = tuple(futr_exog_list), tuple(hist_exog_list)
        self.stat_exog_list, self.calendar = tuple(stat_exog_list), calendar
        self.strategy, self.early_stop_patience_steps = strategy, early_stop_patience_steps
        self.missed = None
        self.fits = 0
        self.columns = ()

    # Its quantiles are those of what it missed: the one of 0.5 is another number.
    forecasts_median = False

    @property
    def is_fitted(self):
        return self.missed is not None

    def fit(self, panel, *, freq, val_size=0, holdout=0, warm_start=False, verbose=0):
        assert type(freq).__name__ == "Freq"
        if verbose:
            print(f"{self.alias}: holdout {holdout}, val_size {val_size}")
        self.columns = (panel.futr_names, panel.hist_names, panel.static_names)
        misses = []
        for series, length in enumerate(panel.lengths):
            rows = slice(panel.starts[series], panel.starts[series] + max(length - holdout - val_size, 0))
            y = np.where(panel.observed[rows], panel.y[rows], np.nan)
            misses.append(y[self.season :] - y[: -self.season or None][: max(y.size - self.season, 0)])
        misses = np.concatenate(misses)
        misses = misses[np.isfinite(misses)]
        if self.fails:
            self.missed = None
            raise FloatingPointError("the loss is not finite in step 3")
        spread = np.quantile(misses, self.quantiles) if misses.size else np.zeros(len(self.quantiles))
        self.missed = self.narrow * spread
        self.fits = self.fits + 1 if warm_start else 1

    def forecast(self, panel, series, ends, h=None, until=None):
        h = self.h if h is None else h
        assert self.is_fitted
        assert series.dtype == ends.dtype == np.int64
        assert series.shape == ends.shape
        assert (ends > 0).all()
        assert (ends + h <= panel.lengths[series]).all()
        point = np.zeros((series.size, h))
        for w, (at, end) in enumerate(zip(series, ends, strict=True)):
            start = panel.starts[at]
            history = panel.y[start : start + end][panel.observed[start : start + end]]
            for step in range(h):
                back = self.season - step % self.season
                point[w, step] = history[-min(back, history.size)] if history.size else 0.0
        futr = columns_of(panel.futr_names, self.futr_exog_list)
        if futr.size:
            rows = (panel.starts[series] + ends)[:, None] + np.arange(h)
            point += panel.futr[rows][..., futr].sum(axis=-1)
        return point, point[..., None] + self.missed

    @property
    def settings(self):
        names = ("h", "season", "alias", "quantiles", "futr_exog_list", "hist_exog_list", "stat_exog_list")
        more = ("calendar", "strategy", "early_stop_patience_steps", "narrow")
        return {name: getattr(self, name) for name in names + more}

    def tensors(self):
        return {"missed": self.missed, "fits": np.array([self.fits])}

    @classmethod
    def from_settings(cls, settings, tensors, panel, freq):
        model = cls(**settings)
        model.missed, model.fits = tensors["missed"], int(tensors["fits"][0])
        return model
