# syntax=docker/dockerfile:1
# pamiq_exp on a CPU:
#   docker build -t pamiq_exp .
#   docker run --rm -v pamiq_outputs:/app/outputs pamiq_exp
# With an NVIDIA GPU:
#   docker build --build-arg DEVICE=cuda -t pamiq_exp:cuda .
#   docker run --rm --gpus all -v pamiq_outputs:/app/outputs pamiq_exp:cuda \
#     experiment=curiosity_noise_world launcher.device=cuda

ARG PYTHON=3.11
FROM python:${PYTHON}-slim-bookworm

# cuda: fail unless the installed torch has CUDA.
ARG DEVICE=cpu
# The index that torch is installed from; empty: the default one, whose builds for Linux have CUDA and run on a CPU too.
# The installation page of torch names the index of builds for CPUs alone, which are a tenth of the size.
ARG TORCH_INDEX=
ARG EXTRAS=dashboard,tensorboard,video,worlds

ENV PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PYTHONUNBUFFERED=1 \
    MPLBACKEND=agg \
    NUMBA_CACHE_DIR=/home/pamiq/.cache/numba

# MiniWorld renders through EGL, OpenCV and PyAV bring their own libraries. Debian keeps no older versions to pin.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libegl1 libgl1 libglu1-mesa \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 1000 pamiq \
    && install --directory --owner=pamiq --group=pamiq /app /app/outputs

WORKDIR /build
COPY constraints.txt ./
RUN pip install --constraint constraints.txt ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} \
        "$(grep '^torch==' constraints.txt)" \
    && if [ "$DEVICE" = cuda ]; then python -c "import torch; assert torch.version.cuda, 'torch has no CUDA'"; fi

COPY pyproject.toml README.md LICENSE ./
COPY pamiq_exp pamiq_exp
COPY conf conf
COPY hydra_plugins hydra_plugins
COPY project_template project_template
RUN pip install --constraint constraints.txt ".[${EXTRAS}]" && rm -rf /build

USER 1000:1000
WORKDIR /app
VOLUME /app/outputs
ENTRYPOINT ["python", "-m", "pamiq_exp"]
CMD ["experiment=curiosity_noise_world"]
