# Training and everything else that experiments_manager.py does, on CPUs or on NVIDIA GPUs.
#
# Build, in the folder that holds README.md:
#   docker build --file containers/training.Dockerfile --tag experiments .
#   docker build --file containers/training.Dockerfile --tag experiments:gpu --build-arg DEVICE=gpu .
# Train an example; results appear in ./experiments, as yours:
#   mkdir -p experiments
#   docker run --rm --init --user "$(id -u):$(id -g)" --mount type=bind,source="$PWD/experiments",target=/app/experiments \
#     experiments --usersettings examples/classification/mysettings_digits.py
# Add `--gpus all --shm-size 1g` for experiments:gpu, and a mount of your own settings and data, e.g. at /app/mine.
# For sweeps on a Ray cluster: --build-arg EXTRA_PACKAGES="--requirement requirements-ray.txt ray[default]"

FROM python:3.11-slim-bookworm
ARG DEVICE=cpu
ARG EXTRA_PACKAGES=""
WORKDIR /app
COPY requirements*.txt ./
# CUDA comes with Python's packages: of the machine only the driver is needed.
# hadolint ignore=SC2086
RUN case "$DEVICE" in \
        cpu) tensorflow="tensorflow" ;; \
        gpu) tensorflow="tensorflow[and-cuda]" ;; \
        *) echo "DEVICE must be cpu or gpu. Got '$DEVICE'." >&2; exit 1 ;; \
    esac \
    && python -m pip install --no-cache-dir --requirement requirements.txt "$tensorflow" $EXTRA_PACKAGES
COPY DataProvider_input_pipeline.py experiments_manager.py experiments_settings_checker.py ./
COPY data_pipelines data_pipelines
COPY datasamples datasamples
COPY examples examples
COPY expman expman
COPY model_zoo model_zoo
# Whoever runs the container can neither compile these files nor, after a checkout for one user only, read them.
RUN chmod -R a+rX . && python -m compileall -q . && install --directory --owner=1000 --group=1000 experiments
# Any user (--user) has a home to write caches into.
ENV HOME=/tmp \
    PYTHONUNBUFFERED=1 \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
# Last, as a new commit would otherwise install all packages anew.
ARG REVISION=unknown
LABEL org.opencontainers.image.title="experiments" \
      org.opencontainers.image.description="Experiments manager for TensorFlow" \
      org.opencontainers.image.revision="${REVISION}"
USER 1000:1000
# Without a shell in between, so that SIGTERM reaches the training, which saves a checkpoint and ends with exit code 143.
ENTRYPOINT ["python", "experiments_manager.py"]
CMD ["--help"]
