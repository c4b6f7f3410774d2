"""Published layouts of data sets, one file each; ``cohorts.LAYOUTS`` names them."""
