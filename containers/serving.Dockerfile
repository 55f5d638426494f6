# The embedded server: any TensorFlow Serving client, on CPUs (x86-64 and ARM), without what only training needs.
#
# Build, in the folder that holds README.md:
#   docker build --file containers/serving.Dockerfile --tag experiments-serving .
# Serve one exported model, as with the image tensorflow/serving:
#   docker run --rm --init --stop-timeout 75 --publish 8500:8500 --publish 8501:8501 \
#     --mount type=bind,source=/path/to/FOLDER/export/NAME,target=/models/model,readonly experiments-serving
# Flags after the image's name replace the two that name the model:
#   docker run … experiments-serving --model_config_file=/models/models.config --enable_batching

FROM python:3.11-slim-bookworm
COPY containers/install_serving.sh containers/requirements-serving.txt /build/
RUN sh /build/install_serving.sh /build/requirements-serving.txt
WORKDIR /app
COPY containers/healthcheck.py ./
# What the server imports of this project, and no more.
COPY expman/__init__.py expman/errors.py expman/installation.py expman/
COPY expman/wire expman/wire
COPY expman/runtimes expman/runtimes
COPY expman/serving expman/serving
# The server can neither compile these files for later starts nor, after a checkout for one user only, read them.
RUN chmod -R a+rX . && python -m compileall -q .
ENV PYTHONUNBUFFERED=1
# Last, as a new commit would otherwise install all packages anew.
ARG REVISION=unknown
LABEL org.opencontainers.image.title="experiments-serving" \
      org.opencontainers.image.description="Model server with the protocol of TensorFlow Serving" \
      org.opencontainers.image.revision="${REVISION}"
USER 1000:1000
EXPOSE 8500 8501
HEALTHCHECK --interval=10s --timeout=5s --start-period=5m --retries=3 CMD ["python", "healthcheck.py"]
# No shell in between: SIGTERM reaches the server, which answers what it has accepted, for up to a minute, and ends.
ENTRYPOINT ["python", "-m", "expman.serving", "--port=8500", "--rest_api_port=8501", "--enable_grpc_healthcheck_service"]
CMD ["--model_name=model", "--model_base_path=/models/model"]
