from spisonet.api.fsc import FourierShellCorrelation as FourierShellCorrelation
from spisonet.api.fsc import Fsc3dResult as Fsc3dResult
from spisonet.api.fsc import fourier_shell_correlation as fourier_shell_correlation
from spisonet.api.fsc import fsc3d as fsc3d
from spisonet.api.held_out import HeldOutValidation as HeldOutValidation
from spisonet.api.held_out import validate as validate
from spisonet.api.maps import Map as Map
from spisonet.api.maps import read_map as read_map
from spisonet.api.maps import write_map as write_map
from spisonet.api.orientation import DiagnosisResult as DiagnosisResult
from spisonet.api.orientation import FourierSampling as FourierSampling
from spisonet.api.orientation import diagnose as diagnose
from spisonet.api.orientation import fourier_sampling as fourier_sampling
from spisonet.api.reconstruction import Reconstruction as Reconstruction
from spisonet.api.reconstruction import reconstruct as reconstruct
from spisonet.api.tomogram_networks import TomogramNetwork as TomogramNetwork
from spisonet.api.tomogram_networks import TomogramPrediction as TomogramPrediction
from spisonet.api.tomogram_networks import predict_tomograms as predict_tomograms
from spisonet.api.tomogram_networks import refine_tomograms as refine_tomograms
from spisonet.api.tomograms import DeconvolvedTomogram as DeconvolvedTomogram
from spisonet.api.tomograms import PreparedTomograms as PreparedTomograms
from spisonet.api.tomograms import TomogramMask as TomogramMask
from spisonet.api.tomograms import deconvolve_ctf as deconvolve_ctf
from spisonet.api.tomograms import make_mask as make_mask
from spisonet.api.tomograms import prepare_tomograms as prepare_tomograms
from spisonet.errors import SpisonetError as SpisonetError
from spisonet.io.events import ProgressEvent as ProgressEvent

__version__: str
__all__: list[str]
