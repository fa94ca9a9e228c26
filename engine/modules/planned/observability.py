"""Traces, metrics and logs: not built yet."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import AliasChoices, Field

from engine.core.modules import Adapter, AdapterChoice, AdapterRegistry, AnyModuleConfig
from engine.modules.planned.base import PlannedModule, RedisAdapter

LEVEL = AliasChoices("level", "log_level")


class OtelConfig(AnyModuleConfig):
    """The options of the observability module."""

    enabled: bool = Field(default=False, description="whether spans are recorded")
    service_name: str = Field(default="iii-engine", description="name of this engine in traces")
    service_version: str | None = Field(default=None, description="version in traces")
    service_namespace: str | None = Field(default=None, description="namespace in traces")
    service_instance_id: str | None = Field(default=None, description="instance in traces")
    exporter: str = Field(default="otlp", description="traces to memory, otlp or both")
    endpoint: str = Field(default="http://localhost:4317", description="where OTLP goes")
    sampling_ratio: float = Field(default=1.0, ge=0, le=1, description="share of traces kept")
    sampling: dict[str, Any] | None = Field(default=None, description="sampling rules")
    memory_max_spans: int = Field(default=1_000, ge=0, description="spans kept in memory")
    metrics_enabled: bool = Field(default=False, description="whether metrics are recorded")
    metrics_exporter: str = Field(default="memory", description="metrics to memory or otlp")
    metrics_retention_seconds: int = Field(default=3_600, ge=0, description="age of metrics kept")
    metrics_max_count: int = Field(default=10_000, ge=0, description="metrics kept in memory")
    prometheus_port: int = Field(default=9464, ge=0, le=65_535, description="port of /metrics")
    logs_enabled: bool = Field(default=True, description="whether logs of workers are kept")
    logs_exporter: str = Field(default="memory", description="logs to memory, otlp or both")
    logs_max_count: int = Field(default=1_000, ge=0, description="logs kept in memory")
    logs_retention_seconds: int = Field(default=3_600, ge=0, description="age of logs kept")
    logs_batch_size: int = Field(default=100, description="logs exported together")
    logs_flush_interval_ms: int = Field(default=5_000, description="how often logs are exported")
    logs_sampling_ratio: float = Field(default=1.0, ge=0, le=1, description="share of logs kept")
    logs_console_output: bool = Field(default=True, description="print logs of workers here")
    alerts: list[Any] = Field(default_factory=list, description="rules that watch metrics")
    level: str = Field(default="info", validation_alias=LEVEL, description="least level logged")
    format: str = Field(default="default", description="default or json")


class OtelModule(PlannedModule):
    """Traces, metrics, logs and alerts."""

    class_path = "modules::observability::OtelModule"
    aliases = ("modules::observability::ObservabilityModule", "iii-observability")
    Config = OtelConfig
    on_by_default = True


class FileLoggerOptions(AnyModuleConfig):
    """The options of logs in a file."""

    file_path: str = Field(default="app.log", description="the file")
    save_interval_ms: int = Field(default=5_000, ge=0, description="how often it is written")


class FileLogger(Adapter):
    """Logs in a file."""

    class_path = "modules::observability::adapters::FileLogger"
    Config = FileLoggerOptions


class RedisLogger(RedisAdapter):
    """Logs in a Redis list."""

    class_path = "modules::observability::adapters::RedisLogger"


LOGGING_ADAPTERS = AdapterRegistry(FileLogger, RedisLogger)


class LoggingConfig(AnyModuleConfig):
    """The options of the logging module."""

    level: Literal["trace", "debug", "info", "warn", "error"] = Field(
        default="info", validation_alias=LEVEL, description="least level kept"
    )
    format: str = Field(default="json", description="default or json")
    adapter: AdapterChoice = Field(
        default_factory=LOGGING_ADAPTERS.default_choice, description="where logs are kept"
    )


class LoggingModule(PlannedModule):
    """Logs of functions, with triggers on them."""

    class_path = "modules::observability::LoggingModule"
    Config = LoggingConfig
    adapters = LOGGING_ADAPTERS
    on_by_default = True
