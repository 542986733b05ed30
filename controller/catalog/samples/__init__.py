"""The actions of `whisk.system/samples`, one file each: what is stored as their code."""
