"""The stages of Metis-RISE, one file each: a function from (workshop) to artifacts in the run folder."""
