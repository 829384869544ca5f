%% What the tests share: the cache as ssl uses it, TLS 1.2 servers and clients, and a look at
%% the port programs from outside. The environment says where the program is
%% (SESSIONCACHE_PROGRAM) and, if it is set at all, asks for the large numbers (OTP_LARGE).
-module(sessioncache_test_lib).

-export([program/0, number/2, until/1, within/2]).
-export([open/1, open/2, owned/2, info/1, up/1, os_pids/0, kill/2]).
-export([start_ssl/1, stop_ssl/0, client_cache/0, server_cache/1, cache_process/1]).
-export([options/0, options/1, listen/1, stop/1, port/1, connect/3, handshake/3, id/1, server_id/1, close/1]).

-define(CB, sessioncache_session_cb).

program() ->
    case os:getenv("SESSIONCACHE_PROGRAM") of
        false -> error("SESSIONCACHE_PROGRAM must name the sessioncache executable");
        Path -> Path
    end.

number(Small, Large) ->
    case os:getenv("OTP_LARGE") of
        false -> Small;
        _ -> Large
    end.

%% Waits for an event that has no message. The test's own time limit ends it.
until(Holds) ->
    case Holds() of
        true -> ok;
        false -> timer:sleep(5), until(Holds)
    end.

%% Runs Fun in a process and fails if that takes more than Ms.
within(Ms, Fun) ->
    {Pid, Ref} = spawn_monitor(fun() -> exit({done, Fun()}) end),
    receive
        {'DOWN', Ref, process, Pid, {done, Result}} -> Result;
        {'DOWN', Ref, process, Pid, Reason} -> error(Reason)
    after Ms ->
        exit(Pid, kill),
        error({not_within_ms, Ms})
    end.

%%% Caches without ssl

%% A cache whose program is up.
open(Args) -> open(client, Args).

open(Role, Args) ->
    Cache = ?CB:init([{role, Role}, {program, program()} | Args]),
    up(Cache),
    Cache.

%% A cache that belongs to a process of its own, which ends on request.
owned(Role, Args) ->
    Self = self(),
    Owner = spawn(fun() ->
        Self ! {self(), open(Role, Args)},
        receive Reason -> exit(Reason) end
    end),
    receive {Owner, Cache} -> {Owner, Cache} end.

info({cache, Shadow, _}) -> sessioncache_port:info(sessioncache_shadow:port_owner(Shadow)).

up(Cache) -> until(fun() -> maps:get(mode, info(Cache)) =:= up end).

%% The running port programs of this test, by what they execute.
os_pids() ->
    {ok, Names} = file:list_dir("/proc"),
    Program = program(),
    [list_to_integer(Name) || Name <- Names, file:read_link("/proc/" ++ Name ++ "/exe") =:= {ok, Program}].

kill(Signal, OSPid) -> os:cmd("kill -" ++ Signal ++ " " ++ integer_to_list(OSPid)).

%%% TLS

%% Starts ssl anew, with our module for both roles.
start_ssl(Env) ->
    stop_ssl(),
    ok = application:load(ssl),
    Ours = [{session_cb, ?CB}, {session_cb_init_args, [{program, program()}]}],
    [application:set_env(ssl, Key, Value) || {Key, Value} <- Ours ++ Env],
    {ok, _} = application:ensure_all_started(ssl),
    up(client_cache()).

stop_ssl() ->
    application:stop(ssl),
    application:unload(ssl),
    until(fun() -> os_pids() =:= [] end).

%% What ssl got from our init/1: the second field of its manager's state, the fourth of the
%% state of a listener's cache process.
client_cache() -> element(2, sys:get_state(ssl_manager)).

server_cache(Listener) -> element(4, sys:get_state(cache_process(Listener))).

%% The process that ssl started for the listener. Each test has one listener at a time.
cache_process(_Listener) ->
    [Pid] = [Pid || {_, Pid, _, _} <- supervisor:which_children(ssl_server_session_cache_sup), is_pid(Pid)],
    Pid.

%% Options of a server and of its clients: both sides have certificates, and want the other's.
options() ->
    options({namedCurve, secp256r1}).

options(Key) ->
    Chain = #{root => [{key, Key}], intermediates => [], peer => [{key, Key}]},
    #{server_config := Server, client_config := Client} =
        public_key:pkix_test_data(#{server_chain => Chain, client_chain => Chain}),
    Both = [{versions, ['tlsv1.2']}, {verify, verify_peer}],
    {Both ++ [{fail_if_no_peer_cert, true}, {reuseaddr, true} | Server],
     Both ++ [{server_name_indication, disable} | Client]}.

%% A server that accepts until it is stopped. What it accepts sends back what it gets.
listen(Options) ->
    Self = self(),
    Server = spawn_link(fun() ->
        {ok, Listen} = ssl:listen(0, [{mode, binary}, {active, false}, {backlog, 128} | Options]),
        {ok, {_, Port}} = ssl:sockname(Listen),
        Self ! {self(), Port, Listen},
        [spawn_link(fun() -> accept(Listen) end) || _ <- lists:seq(1, 8)],
        receive stop -> ssl:close(Listen), exit(normal) end
    end),
    receive {Server, Port, Listen} -> up(server_cache(Server)), {Server, Port, Listen} end.

stop({Server, _, _}) ->
    Process = cache_process(Server),
    Ref = monitor(process, Process),
    Server ! stop,
    receive {'DOWN', Ref, _, _, _} -> ok end.

port({_, Port, _}) -> Port.

accept(Listen) ->
    case ssl:transport_accept(Listen) of
        {ok, Transport} ->
            case ssl:handshake(Transport) of
                {ok, Socket} -> ok = ssl:controlling_process(Socket, spawn_link(fun() -> echo(Socket) end));
                {error, _} -> ok
            end,
            accept(Listen);
        {error, closed} ->
            ok
    end.

echo(Socket) ->
    case ssl:recv(Socket, 0) of
        {ok, <<"id?">>} -> ssl:send(Socket, id(Socket)), echo(Socket);
        {ok, Bytes} -> ssl:send(Socket, Bytes), echo(Socket);
        {error, _} -> ok
    end.

connect(Server, Options, More) ->
    {ok, Socket} = ssl:connect({127, 0, 0, 1}, port(Server), More ++ [{mode, binary}, {active, false} | Options], 60000),
    Socket.

%% A connection that was there and is closed: its session id.
handshake(Server, Options, More) ->
    Socket = connect(Server, Options, More),
    Id = id(Socket),
    Id = server_id(Socket),
    close(Socket),
    Id.

id(Socket) ->
    {ok, [{session_id, Id}]} = ssl:connection_information(Socket, [session_id]),
    Id.

%% What the server takes for the session id.
server_id(Socket) ->
    ok = ssl:send(Socket, <<"id?">>),
    {ok, Id} = ssl:recv(Socket, 32, 60000),
    Id.

close(Socket) -> ssl:close(Socket).
