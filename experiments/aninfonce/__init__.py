"""Rusak, Reizinger, Juhos, Bringmann, Zimmermann, Brendel: InfoNCE: Identifying the Gap Between Theory and Practice."""
