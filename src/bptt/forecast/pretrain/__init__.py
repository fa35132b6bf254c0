"""How the pretrained network is made: random series (`prior`), its training (`training`), `python -m` for both."""
