"""Series of measurements, many at once: as arrays, what of them is noise, and whether they have a period."""
