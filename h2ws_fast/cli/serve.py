"""`h2ws-fast serve`: an ASGI application by uvicorn, over HTTP/2 and HTTP/1.1.

The options are uvicorn's, read by its own parser, so that whoever knows `uvicorn app:app` knows
this. Ours are those of the certificate; the protocol is ours, and so is the socket, which is bound
here in order to say where it listens.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import os
import sys
from typing import TYPE_CHECKING, Any

from ..aio import tls
from . import CommandError, twin, version
from .certificate import Certificate
from .listener import bind, bind_path, inherited, url_of

if TYPE_CHECKING:
    import click
    import uvicorn

__all__ = ["add_parser", "run"]

PROTOCOLS = {"both": "Protocol", "h2": "HTTP2Protocol"}
INSTALL = "pip install 'h2ws_fast[uvicorn]'"

HELP = """Serve an ASGI application over HTTP/2 and HTTP/1.1, its WebSockets over both.

APP is module:attribute. Without --certfile a self-signed certificate is made now, for
development; --cleartext does without, and so do --uds and --fd. The other options are uvicorn's.
"""


def add_parser(commands: Any) -> None:
    """Announce the command."""
    # Nothing begins with this prefix: each argument is left to uvicorn's parser.
    parser = commands.add_parser(
        "serve",
        help="run an ASGI application (FastAPI, Django, ...) by uvicorn, over HTTP/2",
        add_help=False,
        prefix_chars="\0",
    )
    parser.add_argument("options", nargs=argparse.REMAINDER)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the application until SIGINT or SIGTERM."""
    try:
        import click
        import uvicorn
    except ImportError:
        raise CommandError(f"serve needs uvicorn: {INSTALL}") from None
    if not hasattr(uvicorn.Config(""), "ssl_context_factory"):
        raise CommandError(f"uvicorn {uvicorn.__version__} is too old for serve: {INSTALL}")
    command = _command()
    try:
        options = command.main(arguments.options, "h2ws-fast serve", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    if not isinstance(options, dict):  # --help and --version have answered
        return int(options or 0)
    return _serve(options)


def _command() -> click.Command:
    # uvicorn's options without those that choose another protocol, and ours in place of some.
    import click
    from uvicorn.main import main

    ours: dict[str, click.Parameter] = {
        each.name or "": each
        for each in (
            click.Option(
                ["--certfile", "--ssl-certfile", "ssl_certfile"],
                help="Certificate chain, PEM. [default: a self-signed one, made now]",
            ),
            click.Option(
                ["--keyfile", "--ssl-keyfile", "ssl_keyfile"],
                help="Private key, PEM, where it is not in --certfile.",
            ),
            click.Option(
                ["--keyfile-password", "--ssl-keyfile-password", "ssl_keyfile_password"],
                help="Password of the private key.",
            ),
            click.Option(
                ["--cleartext"],
                is_flag=True,
                help="No TLS: the first octets tell what is spoken. Browsers speak HTTP/1.1 then.",
            ),
            click.Option(
                ["--http"],
                type=click.Choice([*PROTOCOLS]),
                default="both",
                show_default=True,
                allow_from_autoenv=False,  # UVICORN_HTTP chooses a class
                help="What is spoken: HTTP/2 and HTTP/1.1, or HTTP/2 alone.",
            ),
            click.Option(
                ["--synthesize-h1-headers"],
                is_flag=True,
                help="Show WebSockets over HTTP/2 with Upgrade, Connection and Sec-WebSocket-Key,"
                " for applications that look for them, such as python-socketio's.",
            ),
            click.Option(
                ["--rfc7540-priorities"],
                is_flag=True,
                help="A stream that depends on itself is an error, as in RFC 7540.",
            ),
            click.Option(
                ["--min-body-rate"],
                type=click.IntRange(0),
                help="Octets a second that a request's body must bring. [default: 240]",
            ),
            click.Option(
                ["--body-timeout"],
                type=click.FloatRange(0),
                help="Seconds over which --min-body-rate is counted; 0: not at all. [default: 30]",
            ),
            click.Option(
                ["--write-timeout"],
                type=click.FloatRange(0),
                help="Seconds in which a client must take something of what waits for it; 0: for"
                " ever. [default: 60]",
            ),
            click.Option(
                ["--trace"],
                is_flag=True,
                help="Print every frame of HTTP/2 both ways, to stderr.",
            ),
        )
    }
    parameters = [
        ours.pop(each.name or "", each)
        for each in main.params
        if each.name not in ("http", "http2", "version")
    ]
    return click.Command(
        "serve",
        params=[*parameters, *ours.values()],
        callback=lambda **options: options,
        context_settings={"auto_envvar_prefix": "UVICORN"},
        help=HELP,
    )


def _serve(options: dict[str, Any]) -> int:
    import uvicorn
    from uvicorn.config import LOGGING_CONFIG, STARTUP_FAILURE
    from uvicorn.supervisors import ChangeReload, Multiprocess

    host, port = options["host"], options["port"]
    local = options["uds"] is not None or options["fd"] is not None
    note = _secure(options, local)
    protocol, told = _tune(options)
    sys.path.insert(0, options.pop("app_dir"))
    options["headers"] = [header.split(":", 1) for header in options["headers"]]
    options["log_config"] = options["log_config"] or LOGGING_CONFIG
    for several in ("reload_dirs", "reload_includes", "reload_excludes"):
        options[several] = options[several] or None
    app = options.pop("app")
    config = uvicorn.Config(app, http=protocol, **options)
    vars(config)["h2ws_fast"] = told  # where our class looks for it, in each process
    _find(app, execute=not config.use_subprocess)
    if config.uds is not None:
        listener = bind_path(config.uds)
        where = config.uds
    elif config.fd is not None:
        listener = inherited(config.fd)
        where = f"file descriptor {config.fd}"
    else:
        listener = bind(host, port)
        where = url_of(listener, host, secure=config.is_ssl)
    print(
        f"h2ws-fast {version()} serve: {twin()} engine, uvicorn {uvicorn.__version__}, "
        f"{_processes(config)}, {note}, listening on {where}",
        flush=True,
    )
    server = uvicorn.Server(config)
    listener.set_inheritable(True)
    try:
        if config.should_reload:
            ChangeReload(config, target=server.run, sockets=[listener]).run()
        elif config.workers > 1:
            Multiprocess(config, sockets=[listener]).run()
        else:
            server.run([listener])
    except KeyboardInterrupt:
        pass  # uvicorn has ended gracefully, and then raises it
    finally:
        if config.uds:
            with contextlib.suppress(FileNotFoundError):
                os.remove(config.uds)
    return 0 if server.started or config.use_subprocess else STARTUP_FAILURE


def _tune(options: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Take our own options out: the class of the protocol, and what that looks for in the Config."""
    settings: dict[str, Any] = {}
    limits: dict[str, Any] = {}
    if options.pop("rfc7540_priorities"):
        settings["no_rfc7540_priorities"] = False
    for option, name in (
        ("min_body_rate", "min_body_rate"),
        ("body_timeout", "body_timeout_s"),
        ("write_timeout", "write_timeout_s"),
    ):
        value = options.pop(option)
        if value is not None:
            limits[name] = value or (None if name.endswith("_s") else 0)
    told = {
        "settings": settings,
        "limits": limits,
        "synthesize_h1_headers": options.pop("synthesize_h1_headers"),
    }
    traced = "Traced" if options.pop("trace") else ""
    return f"h2ws_fast.asgi.uvicorn:{traced}{PROTOCOLS[options.pop('http')]}", told


def _secure(options: dict[str, Any], local: bool) -> str:
    """Complete the options of TLS; say what is used."""
    cleartext = options.pop("cleartext")
    certfile, keyfile = options["ssl_certfile"], options["ssl_keyfile"]
    if keyfile and not certfile:
        raise CommandError("--keyfile needs --certfile")
    if certfile:
        if cleartext:
            raise CommandError("--cleartext goes without --certfile and --keyfile")
        try:
            tls.server_context(certfile, keyfile, password=options["ssl_keyfile_password"])
        except OSError as error:  # an ssl.SSLError is one too
            files = " and ".join(filter(None, (certfile, keyfile)))
            raise CommandError(f"cannot load {files}: {error.strerror or error}") from error
        # OpenSSL's own leave TLS 1.2 with suites that HTTP/2 forbids: RFC 9113 appendix A.
        options["ssl_ciphers"] = options["ssl_ciphers"] or tls.CIPHERS
        return str(certfile)
    if cleartext or local:
        return "cleartext"
    options["ssl_context_factory"] = Certificate(options["host"])
    return "self-signed certificate"


def _find(app: str, *, execute: bool) -> None:
    """Raise CommandError where there is no such application.

    Worker processes import it themselves, again after each change: here its module is only looked
    for then, not executed.
    """
    from uvicorn.importer import ImportFromStringError, import_from_string

    try:
        module, colon, attribute = app.partition(":")
        if module and colon and attribute and not _exists(module):
            raise ImportFromStringError(f'Could not import module "{module}".')
        if execute or not (module and colon and attribute):
            import_from_string(app)
    except ImportFromStringError as error:
        raise CommandError(f"no application: {error}") from None


def _exists(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError as error:  # of a package around it
        if error.name is None or not module.startswith(f"{error.name}."):
            raise
        return False


def _processes(config: uvicorn.Config) -> str:
    if config.should_reload:
        return "reloading"
    return f"{config.workers} worker{'s' if config.workers > 1 else ''}"
