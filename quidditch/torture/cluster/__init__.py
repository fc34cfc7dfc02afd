"""Torture of a cluster: its processes are killed, stopped and cut off while clients write, and no promise may break.

history    what clients did and were told
checking   a history held against the promises; pure
"""
