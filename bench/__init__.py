"""Measurements, as ratios within one run on one machine; `fieldcard bench` runs them."""
