"""Jobs for the CCP-EM Pipeliner and Doppio, made from the External jobs of RELION."""
