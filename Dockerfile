# One small image for every role and for the command line; who it is, its folder /node says.
FROM python:3.12-slim AS build
RUN python -m venv /opt/sublet
ENV PATH=/opt/sublet/bin:$PATH PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /source
# Extras, separated by spaces: bfv and ckks compute on ciphertext faster, and have no wheels for every platform.
ARG EXTRAS="postgresql"
# The dependencies are a layer of their own: a change of code does not download them again.
COPY pyproject.toml ./
RUN python -c "import sys, tomllib; project = tomllib.load(open('pyproject.toml', 'rb'))['project']; \
extras = [each for name in sys.argv[1:] for each in project['optional-dependencies'][name]]; \
print(*project['dependencies'], *extras, sep='\n')" $EXTRAS \
    > /tmp/requirements.txt && pip install --quiet --prefer-binary --requirement /tmp/requirements.txt
COPY README.md LICENSE ./
COPY schemas schemas
COPY broker broker
COPY nodes nodes
COPY sublet.py ./
COPY sublet-stubs sublet-stubs
RUN pip install --quiet --no-deps .

FROM python:3.12-slim
RUN useradd --system --uid 10001 --user-group --no-create-home --home-dir /nonexistent sublet \
 && install -d -o sublet -g sublet -m 0700 /node
COPY --from=build /opt/sublet /opt/sublet
ENV PATH=/opt/sublet/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
# On the container's own loopback, for health checks; SUBLET_OPERATIONS_ADDRESS=0.0.0.0 lets a Prometheus in.
ENV SUBLET_OPERATIONS_PORT=9464 SUBLET_OPERATIONS_BRIDGE_PORT=9465
WORKDIR /node
USER 10001:10001
CMD ["sublet", "--help"]
