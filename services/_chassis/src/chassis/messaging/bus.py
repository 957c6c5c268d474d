"""A service's connection to NATS: serve, request, publish, subscribe.

This module works around two faults of nats-py 2.16: by default it stops reconnecting after 60 attempts, and a callback
that raises ends its reconnect task (decision record 0003).
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from typing import Any, TypeVar, overload

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError
from nats.errors import MaxPayloadError
from nats.js import JetStreamContext
from pydantic import BaseModel, ValidationError

from chassis.faults import Fault, FaultLog, explain_error
from chassis.messaging.deadlines import ServerClock
from chassis.messaging.metadata import Metadata, read_metadata
from chassis.messaging.servers import TlsFiles, parse_servers
from chassis.messaging.serving import (
    ERROR_CODE_HEADER,
    OVERSIZED_HEADERS,
    REQUEST_ID_HEADER,
    CheckRequest,
    OnFailure,
    RenderRefusal,
    ServedTopic,
)
from chassis.offload import INLINE_BYTES, offload
from chassis.telemetry.logs import get_log_context, log
from contracts.wire.errors import (
    ErrorKind,
    InternalFault,
    MessageTooLarge,
    Refusal,
    RefusalDetails,
    RelayedRefusal,
    Unavailable,
)
from contracts.wire.topic import FLEET, Address, Rpc, Topic

P = TypeVar("P", bound=BaseModel)
R = TypeVar("R", bound=BaseModel)
D = TypeVar("D")

Subscriber = Callable[[P, Metadata], Awaitable[None]]
Unsubscribe = Callable[[], Awaitable[None]]
RecordRequest = Callable[[str, str, float], None]
"""Called with the topic of a request, its outcome and its duration in seconds."""
_Callback = Callable[[Msg], Awaitable[None]]

_OUTCOMES = {ErrorKind.UNAVAILABLE: "unavailable", ErrorKind.INTERNAL: "failed"}

DRAIN_S = 5.0  # maximum time to finish received requests when the process stops
MAX_HEADERS = 16 * 1024  # bytes of all headers of a message
MEASURE_CLOCK_EVERY_S = 10.0
MEASURE_CLOCK_AGAIN_S = 60.0  # after a failure: the login may lack the permission
NO_TLS_FILES = TlsFiles()


class TlsNotOffered(Exception):
    """A NATS server does not offer TLS, but the settings require it."""


class _Client(Client):
    """nats-py's client, with two changes.

    It does not parse headers above ``MAX_HEADERS``: a million lines would take it a second. And if TLS is required, it
    sends nothing to a server without TLS: nats-py 2.16 would send the password in plain text.
    """

    def __init__(self, *, requires_tls: bool) -> None:
        super().__init__()
        self._requires_tls = requires_tls

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:
        if initial_connection and self._requires_tls and not info.get("tls_required"):
            if not info.get("tls_available"):
                self._refuse_plain_connection()
            info["tls_required"] = True
        await super()._process_info(info, initial_connection)

    def _refuse_plain_connection(self) -> None:
        address = self._current_server.uri.netloc if self._current_server else ""
        message = (
            f"The NATS server {address} does not offer TLS. Configure TLS there, or use nats:// without NATS_CA and "
            "NATS_CERT to connect in plain text."
        )
        if self._reconnection_task is None:
            raise TlsNotOffered(message)
        raise NatsError(message)  # another exception would end nats-py's reconnect task

    async def _process_headers(self, headers: bytes | None) -> dict[str, str] | None:
        if headers and len(headers) > MAX_HEADERS:
            return {OVERSIZED_HEADERS: str(len(headers))}
        parsed: dict[str, str] | None = await super()._process_headers(headers)
        return parsed


@dataclass(slots=True)
class _RenewedSubscription:
    """A subscription that is renewed on every new connection."""

    subject: str
    callback: _Callback
    subscription: Subscription


class Bus:
    """One connection to NATS that is re-established for the lifetime of the process.

    Args:
        url: URLs of the servers, comma-separated; ``tls://`` requires TLS.
        name: name of the service; also its queue group.
        user, password: credentials to use instead of those in the URLs.
        inbox_prefix: prefix of reply subjects, the only ones that the login may subscribe to.
        tls: files for TLS, which is required if any is given.
        record_request: called after every request that was sent.

    Raises:
        ValueError: a URL is invalid.
        OSError: a file cannot be used.

    Attributes:
        expired_requests: number of requests that were not executed because their deadline had passed, by topic name.
    """

    def __init__(
        self,
        url: str,
        *,
        name: str,
        user: str | None,
        password: str | None,
        inbox_prefix: str,
        tls: TlsFiles = NO_TLS_FILES,
        record_request: RecordRequest = lambda _topic, _outcome, _seconds: None,
    ) -> None:
        self._name, self._record_request = name, record_request
        servers = parse_servers(url)
        self._requires_tls = servers.requires_tls or tls != NO_TLS_FILES
        self._options: dict[str, Any] = {
            "servers": list(servers.urls),
            "name": name,
            "user": user if user is not None else servers.user,
            "password": password if password is not None else servers.password,
            "token": servers.user if servers.password is None else None,
            "tls": tls.create_ssl_context(),
            "inbox_prefix": inbox_prefix.encode(),
            "max_reconnect_attempts": -1,
            "reconnect_time_wait": 0.2,
            "connect_timeout": 1,
            "ping_interval": 5,
            "max_outstanding_pings": 2,
            "pending_size": 0,  # sending without a connection fails immediately: see _on_disconnected
            "error_cb": self._on_error,
            "disconnected_cb": self._on_disconnected,
            "reconnected_cb": self._on_reconnected,
            "closed_cb": self._on_closed,
        }
        self._client: Client = self._new_client()
        self._jetstream: JetStreamContext | None = None
        self._wanted = self._connecting = self._serving = self._has_connected = False
        self._waiting = FaultLog()
        self._reconnecting: asyncio.Task[None] | None = None
        self._served: list[ServedTopic] = []
        self._receiving: list[Subscription] = []  # of served topics on the current connection
        self._subscribed: list[_RenewedSubscription] = []
        self._connect_callbacks: list[Callable[[], None]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._clock = ServerClock()
        self._measuring: asyncio.Task[None] | None = None
        self.expired_requests: Counter[str] = Counter()

    @property
    def connected(self) -> bool:
        """Whether the connection is up."""
        return bool(self._client.is_connected)

    @property
    def fault(self) -> Fault | None:
        """Why there is no connection yet; None once there is one."""
        return self._waiting.latest

    async def probe(self) -> None:
        """Raise unless the server responds."""
        if not self.connected:
            raise ConnectionError("NATS is not connected")

    @property
    def jetstream(self) -> JetStreamContext:
        """JetStream over this connection; a publish waits at most 5 s for its acknowledgement."""
        if self._jetstream is None:  # one per connection: each has its own reply inbox that is never closed
            self._jetstream = self._client.jetstream(timeout=5)
        return self._jetstream

    @overload
    def serve(
        self,
        topic: Rpc[P, R],
        handler: Callable[[P, Address], Awaitable[R]],
        *,
        render_refusal: RenderRefusal | None = None,
        check_request: CheckRequest | None = None,
        on_failure: OnFailure | None = None,
    ) -> None: ...

    @overload
    def serve(
        self,
        topic: Rpc[Any, R],
        handler: Callable[[D, Address], Awaitable[R]],
        *,
        decode: Callable[[bytes], D],
        render_refusal: RenderRefusal | None = None,
        check_request: CheckRequest | None = None,
        on_failure: OnFailure | None = None,
    ) -> None: ...

    def serve(
        self,
        topic: Rpc[Any, Any],
        handler: Callable[[Any, Address], Awaitable[BaseModel]],
        *,
        decode: Callable[[bytes], Any] | None = None,
        render_refusal: RenderRefusal | None = None,
        check_request: CheckRequest | None = None,
        on_failure: OnFailure | None = None,
    ) -> None:
        """Serve a request topic: each request is handled by one replica. Call it before ``start``.

        A refusal of the handler becomes the reply. A request that is malformed or cannot be stored is refused as
        invalid. If the database is unavailable, the handler is called once more and then the request is refused as
        unavailable, so handlers must be idempotent. Any other exception is refused as an internal fault, which clients
        should not retry. A request whose deadline has passed is refused as unavailable and is not executed. A handler
        that queues a request checks the deadline of its address again before it starts the work.

        Args:
            topic: topic of the requests.
            handler: returns the reply; its address has the message's headers.
            decode: returns what the handler is called with, if the JSON needs special checks; it may refuse.
            render_refusal: converts a refusal to the body of a reply, by default its ``RefusalDetails``. Headers stay.
            check_request: checks each message before its payload is decoded.
            on_failure: called with every request that cannot be answered, before it is refused.
        """
        served = ServedTopic(
            service=self._name,
            topic=topic,
            handler=handler,
            decode=decode or topic.payload.model_validate_json,
            parse_deadline=self._clock.parse_deadline_header,
            expired_requests=self.expired_requests,
            render_refusal=render_refusal,
            check_request=check_request,
            on_failure=on_failure,
        )
        self._served.append(served)

    def on_connect(self, callback: Callable[[], None]) -> None:
        """Register a callback for every connection and reconnection."""
        self._connect_callbacks.append(callback)

    async def connect(self) -> None:
        """Connect, waiting for a server indefinitely. Nothing is served before ``start``.

        Raises:
            TlsNotOffered: the server does not offer the TLS that is required.
        """
        if not self._wanted:
            self._wanted = True
            await self._connect_until_successful()
            self._has_connected = True
            self._measuring = asyncio.create_task(self._measure_clock(), name="bus.measure_clock")

    async def start(self) -> None:
        """Connect if needed. All served topics are registered when this returns.

        Raises:
            TlsNotOffered: the server does not offer the TLS that is required.
        """
        self._serving = True
        if self._wanted:
            await self._serve_topics()
        else:
            await self.connect()

    async def stop(self) -> None:
        """Take no more requests, finish those received within ``DRAIN_S``, and close.

        From now on the server sends new requests to other replicas.
        """
        self._wanted = False
        for background in (self._reconnecting, self._measuring):
            while background is not None and not background.done():
                background.cancel()  # repeatedly, because nats-py swallows a cancellation while it flushes
                await asyncio.wait({background}, timeout=0.1)
        if self._client.is_connected:
            with suppress(TimeoutError, NatsError, OSError):
                async with asyncio.timeout(DRAIN_S):
                    await self._drain()
        with suppress(Exception):
            await self._client.close()

    async def request(
        self,
        topic: Rpc[P, R],
        payload: P,
        *,
        tenant: str = FLEET,
        key: str | None = None,
        within_s: float | None = None,
        is_large: bool = False,
    ) -> R:
        """Send a request and return its reply, within ``within_s`` seconds or the topic's ``timeout_s``.

        The service does not start the request after this time.

        Args:
            topic: topic of the request.
            payload: body of the request.
            tenant: tenant in the subject.
            key: key in the subject, if the topic has one.
            within_s: timeout instead of the topic's ``timeout_s``.
            is_large: encoding the payload would block the event loop for more than a millisecond.

        Raises:
            RelayedRefusal: the service refused.
            Unavailable: no responder, or no reply in time; it is unknown whether the request was handled.
            MessageTooLarge: the payload exceeds NATS's limit.
            InternalFault: the reply is malformed.
        """
        began, outcome = monotonic(), "ok"
        try:
            return await self._request(topic, payload, tenant, key, within_s or topic.timeout_s, is_large=is_large)
        except Refusal as refusal:
            outcome = _OUTCOMES.get(refusal.details.kind, "refused")
            raise
        except asyncio.CancelledError:
            outcome = "cancelled"
            raise
        finally:
            self._record_request(topic.name, outcome, monotonic() - began)

    async def _request(
        self, topic: Rpc[P, R], payload: P, tenant: str, key: str | None, within_s: float, *, is_large: bool
    ) -> R:
        if not self.connected:
            raise Unavailable(service=topic.owner, retry_after_s=1)
        request_id = get_log_context().get("request_id", "")
        subject = topic.subject(tenant, key)
        body = await offload(_encode_payload, payload) if is_large else _encode_payload(payload)
        try:
            headers = self._clock.build_deadline_header(within_s)
            if request_id:
                headers[REQUEST_ID_HEADER] = request_id
            reply = await self._send(subject, body, headers or None, within_s)
        except MaxPayloadError as error:
            raise MessageTooLarge from error
        except (TimeoutError, NatsError, OSError) as error:
            raise Unavailable(service=topic.owner, retry_after_s=1) from error
        try:
            if ERROR_CODE_HEADER in (reply.headers or {}):
                raise RelayedRefusal(RefusalDetails.model_validate_json(reply.data))
            if len(reply.data) > INLINE_BYTES:
                return await offload(topic.reply.model_validate_json, reply.data)
            return topic.reply.model_validate_json(reply.data)
        except ValidationError as error:
            log.error("bus.reply_unreadable", topic=topic.name, errors=error.error_count())
            raise InternalFault from error

    async def _send(self, subject: str, body: bytes, headers: dict[str, str] | None, within_s: float) -> Msg:
        # Python 3.11's wait_for, which nats-py would use, swallows a cancellation that coincides with the reply.
        async with asyncio.timeout(within_s):
            return await self._client.request(subject, body, timeout=None, headers=headers)  # type: ignore[arg-type] # it is handed to wait_for, which takes None

    async def publish(self, topic: Topic[P], payload: P, *, tenant: str = FLEET, key: str | None = None) -> None:
        """Publish without delivery guarantee, for hints and progress. Does nothing while there is no connection."""
        if self.connected:
            with suppress(NatsError, OSError):
                await self._client.publish(topic.subject(tenant, key), payload.model_dump_json().encode())

    async def subscribe(
        self, topic: Topic[P], subscriber: Subscriber[P], *, tenant: str | None = None, key: str | None = None
    ) -> Unsubscribe:
        """Call the subscriber for each message of a topic that is published from now on, in order, one at a time.

        Messages that are published while there is no connection are lost. A message that cannot be decoded, or for
        which the subscriber raises, is logged and dropped.

        Args:
            topic: what to receive.
            subscriber: receives the payload and the metadata of a message.
            tenant: receive only messages to this tenant.
            key: receive only messages with this key.

        Returns:
            A function that ends the subscription and does not raise.

        Raises:
            Unavailable: there is no connection.
        """
        subject, callback = topic.filter_subject(tenant, key), _build_callback(topic, subscriber)
        try:
            subscription = await self._client.subscribe(subject, cb=callback)
        except (NatsError, OSError) as error:
            raise Unavailable(service=topic.owner, retry_after_s=1) from error
        subscribed = _RenewedSubscription(subject, callback, subscription)
        self._subscribed.append(subscribed)

        async def unsubscribe() -> None:
            self._subscribed.remove(subscribed)
            with suppress(NatsError, OSError):
                await subscribed.subscription.unsubscribe()

        return unsubscribe

    def _new_client(self) -> Client:
        return _Client(requires_tls=self._requires_tls)

    async def _connect_until_successful(self) -> None:
        self._connecting = True
        while True:
            try:
                await self._client.connect(**self._options)
                await self._clock.measure_clock_offset(self._client)
                await self._subscribe()
                break
            except (TimeoutError, OSError, NatsError, TlsNotOffered) as error:
                self._waiting.report(self._to_fault(error))
                with suppress(Exception):  # an incomplete connection is not needed, and neither is its error
                    await self._client.close()
                self._client, self._jetstream = self._new_client(), None
                if isinstance(error, TlsNotOffered) and not self._has_connected:
                    raise
                await asyncio.sleep(0.2)
        self._connecting = False
        self._waiting.clear()
        log.info("bus.connected")
        self._run_connect_callbacks()

    async def _serve_topics(self) -> None:
        """Register the served topics on the current connection, or on the next one if this one is lost meanwhile."""
        with suppress(NatsError, OSError, TimeoutError):
            await self._subscribe_served()
            await self._client.flush(timeout=5)

    async def _subscribe_served(self) -> None:
        self._receiving = [
            await self._client.subscribe(served.topic.pattern, queue=self._name, cb=self._build_receiver(served))
            for served in self._served
        ]

    async def _subscribe(self) -> None:
        if self._serving:
            await self._subscribe_served()
        for subscribed in self._subscribed:
            subscribed.subscription = await self._client.subscribe(subscribed.subject, cb=subscribed.callback)
        for _ in range(2):  # nats-py's PING overtakes a SUB that is still to be written; the second PING comes after it
            await self._client.flush(timeout=5)

    async def _drain(self) -> None:
        drains = [subscription.drain() for subscription in self._receiving]  # type: ignore[no-untyped-call]
        await asyncio.gather(*drains, return_exceptions=True)
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self._client.flush()

    def _build_receiver(self, served: ServedTopic) -> _Callback:
        async def receive(message: Msg) -> None:
            task = asyncio.create_task(self._answer_message(served, message))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

        return receive

    async def _answer_message(self, served: ServedTopic, message: Msg) -> None:
        body, headers = await served.answer(message)
        with suppress(NatsError, OSError):
            try:
                await self._client.publish(message.reply, body, headers=headers)
            except MaxPayloadError:
                log.error("bus.reply_too_large", topic=served.topic.name, bytes=len(body))
                body, headers = served.build_refusal_reply(InternalFault())
                await self._client.publish(message.reply, body, headers=headers)

    async def _measure_clock(self) -> None:
        """Measure the server's clock periodically, because it may change with the connection."""
        while True:
            await asyncio.sleep(MEASURE_CLOCK_EVERY_S if self._clock.is_known else MEASURE_CLOCK_AGAIN_S)
            if self.connected:
                await self._clock.measure_clock_offset(self._client)

    def _run_connect_callbacks(self) -> None:
        for callback in self._connect_callbacks:
            callback()

    def _to_fault(self, error: Exception) -> Fault:
        where = ", ".join(server.rpartition("@")[2] for server in self._options["servers"])
        refused = "authorization" in str(error).lower() or "authentication" in str(error).lower()
        action = "Check NATS_USER and NATS_PASSWORD." if refused else "Check that NATS runs, and NATS_URL."
        return Fault("nats", where, explain_error(error), action)

    async def _on_error(self, error: Exception) -> None:
        if self._connecting:
            self._waiting.report(self._to_fault(error))
            return
        log.warning("bus.error", error=str(error) or type(error).__name__)

    async def _on_disconnected(self) -> None:
        """Drop unsent data: nats-py would send it after reconnecting, long after the caller got an error."""
        self._client._pending, self._client._pending_data_size = [], 0  # noqa: SLF001 - it has no other way
        log.warning("bus.disconnected")

    async def _on_closed(self) -> None:
        """Reconnect: nats-py closes permanently on most server errors, such as a revoked login."""
        if self._wanted and not self._connecting:
            log.warning("bus.closed")
            self._client, self._jetstream, self._connecting = self._new_client(), None, True
            self._reconnecting = asyncio.create_task(self._connect_until_successful(), name="bus.revive")

    async def _on_reconnected(self) -> None:
        log.info("bus.reconnected")
        self._run_connect_callbacks()
        await self._clock.measure_clock_offset(self._client)


def _encode_payload(payload: BaseModel) -> bytes:
    return payload.model_dump_json().encode()


def _build_callback(topic: Topic[P], subscriber: Subscriber[P]) -> _Callback:
    async def receive(message: Msg) -> None:
        try:
            if len(message.data) > INLINE_BYTES:
                payload = await offload(topic.payload.model_validate_json, message.data)
            else:
                payload = topic.payload.model_validate_json(message.data)
        except ValidationError as error:
            log.warning("bus.message_unreadable", topic=topic.name, subject=message.subject, errors=error.error_count())
            return
        try:
            await subscriber(payload, read_metadata(topic, message))
        except Exception:  # noqa: BLE001 - the edge of a subscription: the next message must be received
            log.exception("bus.subscriber_failed", topic=topic.name, subject=message.subject)

    return receive
