"""Which path does what: the server's surface."""

from __future__ import annotations

import base64
import json
import math
import os
import re
import struct
import zlib
from collections.abc import Callable, Sequence

from hostler.testing.fake_engine import shapes, soundness
from hostler.testing.fake_engine.asks import Asks, Refused, mapping, read_json, refuse, render, sequence, tokenize
from hostler.testing.fake_engine.flags import Options
from hostler.testing.fake_engine.generation import Generation
from hostler.testing.fake_engine.shapes import Json, dump
from hostler.testing.fake_engine.slots import Slot, Slots, Token, Waiting
from hostler.testing.fake_engine.switches import UnknownSwitch, changed
from hostler.testing.fake_engine.wire import Connection, Request

Handler = Callable[[Connection, Request], None]
_OPEN = frozenset({"/health", "/v1/health", "/"})
_RAMP = [0.5 - i / 575 for i in range(576)]
_VECTOR = [part / math.hypot(*_RAMP) for part in _RAMP]


def _number(token: Token) -> int:
    return token if isinstance(token, int) else zlib.crc32(str(token).encode()) % 49152


def vector(tokens: Sequence[Token]) -> list[float]:
    """A unit vector of 576 numbers that depends on the tokens alone."""
    turn = sum(map(_number, tokens)) % len(_VECTOR)
    return _VECTOR[turn:] + _VECTOR[:turn]


def _numbers(item: object) -> list[Token]:
    return [number for number in sequence(item) if isinstance(number, int)]


def inputs(body: Json) -> list[list[Token]]:
    """The inputs of an embedding request as tokens; it gives text, tokens, or several of either. Raises Refused."""
    given = body.get("input", body.get("content"))
    if given is None:
        raise refuse('"input" or "content" must be provided')
    if given == []:
        raise refuse('"input" must not be empty')
    items = given if isinstance(given, list) and not isinstance(given[0], int) else [given]
    every = [tokenize(item) if isinstance(item, str) else _numbers(item) for item in items]
    if not all(every):
        raise refuse("Input content cannot be empty")
    return every


class Engine:
    """Everything that answers. ``loaded`` is False while the model loads: 503 to all."""

    def __init__(self, options: Options, model_bytes: int) -> None:
        self.options = options
        self.slots = Slots(options.slots)
        self.totals = shapes.Totals()
        self.loaded = False
        self._asks = Asks(options)
        self._model_bytes = model_bytes
        self._routes = self._table()

    def _table(self) -> dict[tuple[str, str], Handler]:
        post: dict[str, Handler] = {
            "/tokenize": self._tokenize,
            "/detokenize": self._detokenize,
            "/apply-template": self._apply_template,
            "/v1/messages/count_tokens": self._count_tokens,
            "/v1/chat/completions/input_tokens": self._count_tokens,
            "/v1/responses/input_tokens": self._count_tokens,
            "/props": self._set_props,
            "/infill": self._infill,
            "/lora-adapters": lambda connection, _: connection.answer(200, b'{"success":true}'),
        }
        for path in ("/v1/chat/completions", "/chat/completions", "/v1/messages", "/v1/responses"):
            post[path] = self._generate
        for path in ("/v1/completions", "/completion", "/completions"):
            post[path] = self._generate
        post |= dict.fromkeys(("/v1/embeddings", "/embeddings", "/embedding"), self._embed)
        post |= dict.fromkeys(("/v1/rerank", "/rerank", "/reranking", "/v1/reranking"), self._rerank)
        get: dict[str, Handler] = {
            "/": self._no_gzip,
            "/metrics": self._metrics,
            "/slots": self._show_slots,
            "/lora-adapters": lambda connection, _: connection.answer(200, b"[]"),
            "/props": lambda connection, _: connection.answer(200, dump(shapes.props(self.options))),
        }
        get |= dict.fromkeys(("/health", "/v1/health"), lambda connection, _: connection.answer(200, shapes.HEALTHY))
        get |= dict.fromkeys(("/v1/models", "/models"), self._models)
        return {("POST", path): handler for path, handler in post.items()} | {
            ("GET", path): handler for path, handler in get.items()
        }

    # The middleware

    def serve(self, connection: Connection, request: Request) -> None:
        """Answer one request, now or later."""
        if request.method == "HEAD":
            connection.answer(415, b"", "text/plain")
        elif request.method == "OPTIONS":
            allow = "Access-Control-Allow-Methods: GET, POST, DELETE, OPTIONS\r\nAccess-Control-Allow-Headers: *\r\n"
            connection.answer(200, b"", "text/html", "Access-Control-Allow-Credentials: true\r\n" + allow)
        elif request.path not in _OPEN and not self._allowed(request):
            connection.answer(401, shapes.UNAUTHORIZED)
        elif not self.loaded:
            connection.answer(503, shapes.LOADING)
        else:
            self._dispatch(connection, request)

    def _allowed(self, request: Request) -> bool:
        keys = self.options.keys
        if not keys:
            return True
        scheme, _, key = request.headers.get(b"authorization", b"").partition(b" ")
        return (scheme == b"Bearer" and key in keys) or request.headers.get(b"x-api-key") in keys

    def _dispatch(self, connection: Connection, request: Request) -> None:
        handler = self._routes.get((request.method, request.path))
        if handler is None and request.method == "POST" and request.path.startswith("/slots/"):
            handler = self._slot_action
        try:
            if handler is None:
                raise Refused(404, shapes.NOT_FOUND)
            handler(connection, request)
        except Refused as error:
            refused = soundness.told(request.path, error) if connection.switches.sound else error
            connection.answer(refused.status, refused.body)

    # Generation

    def _generate(self, connection: Connection, request: Request) -> None:
        body = read_json(request.body)
        if "fake" in body:
            try:
                connection.switches = changed(connection.switches, mapping(body["fake"]))
            except UnknownSwitch as error:
                raise refuse(str(error)) from error
        switches = connection.switches
        if switches.error:
            text = "scripted error " + "x" * int(switches.error_mib * 2**20)
            raise Refused(switches.error, shapes.error(switches.error, text, "server_error"))
        ask = self._asks.completion if "chat" not in request.path and "ompletion" in request.path else self._asks.chat
        if switches.sound:
            soundness.check(body)
        plan, dialect = ask(request.path, body, switches)
        if switches.sound:
            dialect, plan = soundness.dialect(dialect), soundness.plan(plan, body)
        Generation(connection, self.slots, self.totals).start(plan, dialect)

    def _embed(self, connection: Connection, request: Request) -> None:
        if not self.options.embeddings:
            raise Refused(501, shapes.unsupported("embeddings", "--embeddings"))
        body, sound = read_json(request.body), connection.switches.sound
        if sound:
            soundness.check(body)
        every = inputs(body)
        for tokens in every:
            self._fits_batch(len(tokens))
        if not request.path.startswith("/v1/"):
            connection.answer(200, dump([{"index": i, "embedding": [vector(t)]} for i, t in enumerate(every)]))
            return
        packed = body.get("encoding_format") == "base64"
        data: list[Json] = []
        for index, tokens in enumerate(every):
            numbers = soundness.cut(vector(tokens), body.get("dimensions")) if sound else vector(tokens)
            coded = base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()
            item: Json = {"embedding": coded if packed else numbers, "index": index, "object": "embedding"}
            data.append(item | ({"encoding_format": "base64"} if packed else {}))
        connection.answer(200, dump(self._listed(sum(map(len, every)), data=data)))

    def _fits_batch(self, count: int) -> None:
        if count > self.options.ubatch:
            text = f"input ({count} tokens) is too large to process. increase the physical batch size"
            text += f" (current batch size: {self.options.ubatch})"
            raise Refused(500, shapes.error(500, text, "server_error"))

    def _listed(self, tokens: int, **more: object) -> Json:
        counts = {"prompt_tokens": tokens, "total_tokens": tokens}
        return {"model": self.options.alias, "object": "list", "usage": counts, **more}

    def _rerank(self, connection: Connection, request: Request) -> None:
        if not self.options.reranking:
            raise Refused(501, shapes.unsupported("reranking", "--reranking"))
        body = read_json(request.body)
        if not isinstance(body.get("query"), str):
            raise refuse('"query" must be provided')
        documents = [str(item) for item in sequence(body.get("documents"))]
        if not documents:
            raise refuse('"documents" must be a non-empty string array')
        query = tokenize(str(body["query"]))
        scored: list[tuple[float, int]] = []
        for index, text in enumerate(documents):
            words = tokenize(text)
            scored.append((len({*words} & {*query}) - 1.0 - _number(text) / 49152, index))
        scored.sort(reverse=True)
        top = body.get("top_n")
        kept = scored[:top] if isinstance(top, int) else scored
        results = [{"index": index, "relevance_score": score} for score, index in kept]
        total = sum(len(tokenize(text)) + len(query) for text in documents)
        connection.answer(200, dump(self._listed(total, results=results)))

    # Text

    def _tokenize(self, connection: Connection, request: Request) -> None:
        body = read_json(request.body)
        words = tokenize(str(body.get("content", "")))
        pieces = [{"id": _number(word), "piece": word} for word in words]
        tokens: object = pieces if body.get("with_pieces") else [_number(word) for word in words]
        connection.answer(200, dump({"tokens": tokens}))

    def _detokenize(self, connection: Connection, request: Request) -> None:
        tokens = sequence(read_json(request.body).get("tokens"))
        connection.answer(200, dump({"content": "".join(f" t{token}" for token in tokens)}))

    def _apply_template(self, connection: Connection, request: Request) -> None:
        connection.answer(200, dump({"prompt": render(read_json(request.body), "messages")}))

    def _count_tokens(self, connection: Connection, request: Request) -> None:
        key = "input" if "responses" in request.path else "messages"
        count: Json = {"input_tokens": len(tokenize(render(read_json(request.body), key)))}
        more: Json = {} if "messages" in request.path else {"object": "response.input_tokens"}
        connection.answer(200, dump(count | more))

    def _infill(self, connection: Connection, request: Request) -> None:
        missing = " ".join(f"{part} token is missing." for part in ("prefix", "suffix", "middle"))
        text = f"Infill is not supported by this model: {missing} "
        raise Refused(501, shapes.error(501, text, "not_supported_error"))

    # State

    def _no_gzip(self, connection: Connection, request: Request) -> None:
        connection.answer(415, b"Error: gzip is not supported by this browser", "text/plain")

    def _models(self, connection: Connection, request: Request) -> None:
        connection.answer(200, dump(shapes.models(self.options, self._model_bytes)))

    def _metrics(self, connection: Connection, request: Request) -> None:
        if not self.options.metrics:
            raise Refused(501, shapes.unsupported("metrics endpoint", "--metrics"))
        started = "Process-Start-Time-Unix: 1204080845\r\n"
        connection.answer(200, self.totals.text(self.slots), "text/plain; version=0.0.4", started)

    def _show_slots(self, connection: Connection, request: Request) -> None:
        if not self.options.show_slots:
            raise Refused(501, shapes.unsupported("slots endpoint", "--slots"))
        if "fail_on_no_slot" in request.query and self.slots.busy == len(self.slots.all):
            raise Refused(503, shapes.error(503, "no slot available", "unavailable_error"))
        states = [shapes.slot_state(slot, self.options.slot_context) for slot in self.slots.all]
        connection.answer(200, dump(states))

    def _set_props(self, connection: Connection, request: Request) -> None:
        if not self.options.props:
            raise Refused(501, shapes.unsupported("changing global properties", "--props"))
        connection.answer(200, b'{"success":true}')

    # A slot's memory

    def _slot_action(self, connection: Connection, request: Request) -> None:
        if not self.options.slot_save_path:
            raise Refused(501, shapes.unsupported("slots action", "--slot-save-path"))
        name = request.path.removeprefix("/slots/")
        if not name.isdigit():
            raise refuse("Invalid slot ID")
        action = request.query.removeprefix("action=")
        if action not in ("save", "restore", "erase"):
            raise refuse("Invalid action")
        path = "" if action == "erase" else self._slot_file(read_json(request.body))

        def granted(slot: Slot) -> None:
            try:
                answer = dump({"id_slot": int(name)} | _SLOT_ACTIONS[action](slot, path))
                status = 200
            except Refused as refused:
                status, answer = refused.status, refused.body
            self.slots.release(slot)
            connection.answer(status, answer)

        waiting = Waiting(granted, wanted=int(name))
        connection.on_lost = lambda: self.slots.forget(waiting)
        self.slots.ask(waiting)

    def _slot_file(self, body: Json) -> str:
        name = body.get("filename")
        if not isinstance(name, str):
            raise refuse("[json.exception.out_of_range.403] key 'filename' not found")
        if not re.fullmatch(r"[\w.-]+", name) or ".." in name:
            raise refuse("Invalid filename")
        return os.path.join(self.options.slot_save_path, name)


def _save(slot: Slot, path: str) -> Json:
    words = [token if isinstance(token, int) else zlib.crc32(token.encode()) for token in slot.cached]
    data = struct.pack(f"<4sII{len(words)}I", b"qsgg", 2, len(words), *words) + json.dumps(slot.cached).encode()
    with open(path, "wb") as file:
        file.write(data)
    counts: Json = {"n_saved": len(slot.cached), "n_written": len(data)}
    return {"filename": os.path.basename(path)} | counts | {"timings": {"save_ms": 0.1}}


def _restore(slot: Slot, path: str) -> Json:
    try:
        with open(path, "rb") as file:
            data = file.read()
        (count,) = struct.unpack_from("<I", data, 8)
        slot.cached = json.loads(data[12 + 4 * count :])
    except (OSError, ValueError, struct.error) as error:
        raise refuse("Unable to restore slot: No available space in KV cache or invalid slot save file") from error
    counts: Json = {"n_restored": len(slot.cached), "n_read": len(data)}
    return {"filename": os.path.basename(path)} | counts | {"timings": {"restore_ms": 0.1}}


def _erase(slot: Slot, path: str) -> Json:
    count, slot.cached = len(slot.cached), []
    return {"n_erased": count}


_SLOT_ACTIONS: dict[str, Callable[[Slot, str], Json]] = {"save": _save, "restore": _restore, "erase": _erase}
