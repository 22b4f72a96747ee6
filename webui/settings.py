"""How this studio runs: defaults, then `STEPWISE_...` in the environment, then the command line. Read once, never changed."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

Previews = Literal["fast", "fine", "off"]
Dtype = Literal["auto", "float32", "bfloat16"]
Offload = Literal["auto", "none", "group"]
Tiling = Literal["auto", "on", "off"]
Quantize = Literal["none", "int8"]

PACKAGE = Path(__file__).resolve().parent


def builtin_models() -> Path:
    """The folder of the models that ship with the studio: inside an installed package, or beside it in a checkout."""
    packed = PACKAGE / "models"
    return packed if packed.is_dir() else PACKAGE.parent / "models"


class Wishes(BaseModel):
    """How models are to lie in memory, where a person decides it instead of the studio."""

    model_config = ConfigDict(frozen=True)

    dtype: Dtype = "auto"
    offload: Offload = "auto"
    tiling: Tiling = "auto"
    quantize: Quantize = "none"
    compile: bool = False


class Settings(BaseSettings):
    """Frozen; every field is also an environment variable and a flag of its name."""

    model_config = SettingsConfigDict(env_prefix="STEPWISE_", frozen=True, extra="forbid")

    models: Path = Field(Path("models"), description="Folder with your models.")
    outputs: Path = Field(Path("outputs"), description="Folder for the pictures.")
    device: str = Field("auto", pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$", description="Where to compute: auto, cpu, cuda, cuda:N or mps.")
    port: int = Field(7860, ge=1, le=65535, description="Port of the page.")
    previews: Previews = Field("fast", description="Live previews: fast (a linear map), fine (the model's own decoder, slow) or off.")
    threads: int | None = Field(None, ge=1, description="CPU threads of the engine; by default the physical cores, four at most.")
    dtype: Dtype = Field("auto", description="Type of the models' numbers: auto (what fits), float32 or bfloat16 (half the memory).")
    offload: Offload = Field(
        "auto", description="Layers in main memory until they are needed, on CUDA: auto (if need be), none or group (slower, least memory)."
    )
    tiling: Tiling = Field("auto", description="Decode pictures in tiles of 512 pixels: auto (if need be), on (less memory) or off.")
    quantize: Quantize = Field(
        "none", description="Weights of large models: none (as they are) or int8 (about a quarter of float32, half of bfloat16; slower)."
    )
    compile: bool = Field(False, description="Compile the models' blocks, on CUDA: a minute at the first step, faster ones afterwards.")
    lan: bool = Field(False, description="Share the studio on the local network, through a link with a secret.")
    lan_address: str | None = Field(None, description="Address to share at; by default this machine's on the local network.")
    password: SecretStr | None = Field(None, description="Password that guests give after opening the link; it is kept as a hash.")
    tls_self_signed: bool = Field(False, description="Share over https, with a certificate that the studio makes.")
    tls_cert: Path | None = Field(None, description="Share over https, with this certificate (PEM).")
    tls_key: Path | None = Field(None, description="Key of --tls-cert (PEM); left out if it is in the same file.")
    owner_link: bool = Field(False, description="Ask for the owner's link on this machine too: for one that several people log in to.")
    waiting_per_guest: int = Field(20, ge=1, le=1000, description="Pictures of one guest that may wait at once.")

    @property
    def wishes(self) -> Wishes:
        """How models are to lie in memory."""
        return Wishes(**{name: getattr(self, name) for name in Wishes.model_fields})
