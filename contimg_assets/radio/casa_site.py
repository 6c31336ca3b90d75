# CASA's site configuration, read by casatools when it is imported (CASASITECONFIG).
#
# Belongs here: plain assignments that keep CASA off the network, off the user's
# home and off the current folder.  ``radio/casa.py`` says where the folders are.
import os as _os

measurespath = _os.environ["CONTIMG_CASA_DATA"]
datapath = [measurespath]
logfile = _os.environ["CONTIMG_CASA_LOG"]
cachedir = _os.environ["CONTIMG_CASA_CACHE"]
measures_auto_update = False
data_auto_update = False
telemetry_enabled = False
crashreporter_enabled = False
nologger = True
nogui = True
