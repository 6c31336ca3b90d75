"""Files of a calibration set's folder.

Belongs here: their names.  Does not belong here: writing or reading them.
"""

#: What is kept with a set's tables.
SIDECAR = "solutions.json"
#: Type, order of application, file name.
TABLES = (("K", 10, "K.cal"), ("BA", 20, "B.cal"), ("GA", 40, "G.cal"))
