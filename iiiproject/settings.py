"""Django settings; what differs between deployments comes from the environment."""

from __future__ import annotations

import os
import sys

from console import skin
from engine.background import broker
from iiiproject import environment

DATA_DIR = environment.data_dir(os.environ)
SECRET_KEY = environment.secret_key(os.environ, DATA_DIR)
DEBUG = environment.flag(os.environ, "DJANGO_DEBUG")
ALLOWED_HOSTS = environment.words(
    os.environ, "DJANGO_ALLOWED_HOSTS", default="localhost,127.0.0.1,[::1]"
)
CSRF_TRUSTED_ORIGINS = environment.words(os.environ, "DJANGO_CSRF_TRUSTED_ORIGINS")

# Daphne must come first to replace `runserver`, but importing it creates a Twisted reactor with
# an event loop of its own, which the engine has no use for unless it serves through Daphne.
_SERVES_WITH_DAPHNE = "runserver" in sys.argv[1:2]

INSTALLED_APPS = [
    *(["daphne"] if _SERVES_WITH_DAPHNE else []),
    # Before Django's own apps, whose commands about accounts it replaces.
    "console.apps.ConsoleConfig",
    "unfold.apps.BasicAppConfig",
    "console.apps.ConsoleAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "channels",
    "django_celery_beat",
    "django_prometheus",
    "engine",
    "kv",
    "streams",
]

MIDDLEWARE = [
    "django_prometheus.middleware.PrometheusBeforeMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "console.content_policy.ContentPolicyMiddleware",
    "console.static_files.StaticFilesMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_prometheus.middleware.PrometheusAfterMiddleware",
]

ROOT_URLCONF = "iiiproject.urls"
# Of a login that was asked for by itself, and not for a page.
LOGIN_REDIRECT_URL = "admin:index"
ASGI_APPLICATION = "iiiproject.asgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

DATABASES = environment.databases(os.environ, DATA_DIR)
DATABASE_ROUTERS = ["iiiproject.databases.SystemRouter"]
CHANNEL_LAYERS = environment.channel_layers(os.environ)

# Where an engine says that it is found, and where Celery's processes look when none says it: with
# several engines each one has to deliver its own subscriptions.
III_PUBLIC_URL = os.environ.get("III_URL", "").strip() or None
III_URL = III_PUBLIC_URL or "ws://127.0.0.1:49134"

CELERY_BROKER_URL = broker.broker_url(os.environ)
CELERY_BROKER_TRANSPORT_OPTIONS = broker.transport_options(CELERY_BROKER_URL)
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None  # for ever
CELERY_TASK_DEFAULT_QUEUE = broker.QUEUE
CELERY_TASK_IGNORE_RESULT = True
CELERY_RESULT_EXPIRES = None  # there are none: beat needs no task that cleans them up
# Tasks of the engine wait for it and compute nothing. With more prefetched than can run, one would
# wait behind a long task of a project while another process is free.
CELERY_WORKER_POOL = "threads"
CELERY_WORKER_CONCURRENCY = 8
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_ENABLE_REMOTE_CONTROL = not broker.is_embedded(CELERY_BROKER_URL)
# How often beat asks whether periodic tasks have changed, which takes it two statements.
CELERY_BEAT_MAX_LOOP_INTERVAL = 10
CELERY_BEAT_SCHEDULER = "engine.background.beat.BeatScheduler"
CELERY_TIMEZONE = "UTC"
DJANGO_CELERY_BEAT_TZ_AWARE = True

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]

LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_I18N = True
USE_TZ = True
FORMAT_MODULE_PATH = ["console.formats"]
STATIC_URL = "static/"
# Files are looked for when they are asked for: no time at start for an engine whose console nobody
# opens, and none that an upgrade in place has changed meanwhile.
WHITENOISE_USE_FINDERS = WHITENOISE_AUTOREFRESH = True
WHITENOISE_MAX_AGE = 60
WHITENOISE_ALLOW_ALL_ORIGINS = False
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# Cookies of one host are shared by all its ports: the usual names would log people out of
# whatever else they develop on this machine.
SESSION_COOKIE_NAME = "iii_session"
CSRF_COOKIE_NAME = "iii_csrf"
CSRF_COOKIE_HTTPONLY = True

UNFOLD = skin.UNFOLD

# The engine sets up logging itself (iiiproject.serve); commands keep Python's defaults.
LOGGING_CONFIG = None
