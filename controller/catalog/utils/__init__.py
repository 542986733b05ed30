"""The actions of `whisk.system/utils`, one file each: what is stored as their code."""
