# One image for every role: `serve` (all on one machine), `serve --web`, `serve --worker 2`, `migrate`, `doctor` …
FROM python:3.11-slim AS build
WORKDIR /fieldcard
RUN python -m venv .venv
COPY requirements-scale.txt ./
RUN .venv/bin/pip install --no-cache-dir --require-hashes --only-binary :all: -r requirements-scale.txt
COPY . .
RUN .venv/bin/pip install --no-index --no-deps --no-build-isolation -e . \
    && .venv/bin/python -m compileall -q app wsgi.py

FROM python:3.11-slim
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin fieldcard \
    && install -d -o fieldcard -g fieldcard -m 0700 /data
COPY --from=build /fieldcard /fieldcard
WORKDIR /fieldcard
USER fieldcard
ENV PATH=/fieldcard/.venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    FIELDCARD_ENV=production \
    FIELDCARD_HOME=/data \
    FIELDCARD_BIND=0.0.0.0 \
    PORT=8000
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 CMD \
    ["python", "-c", "import os, urllib.request as u; u.urlopen(f\"http://127.0.0.1:{os.environ['PORT']}/healthz?web\", timeout=2)"]
# A stop lasts at most 25 s; run with `--init --stop-timeout 30`.
ENTRYPOINT ["fieldcard"]
CMD ["serve"]
