%% What a call costs, next to OTP's own caches: the table of docs/otp.md.
%%
%%   cd interop/otp && erlc -o /tmp src/*.erl test/*.erl
%%   SESSIONCACHE_PROGRAM=/usr/local/bin/sessioncache erl -noshell -pa /tmp -s sessioncache_cost main
-module(sessioncache_cost).

-export([main/0]).

-define(LIB, sessioncache_test_lib).
-define(SESSIONS, 1000).
-define(CALLS, 5).
-define(BURSTS, 2000).

main() ->
    Session = session(),
    io:format("OTP ~s, ~b sessions of ~b bytes; microseconds per call, best of up to ~b bursts of ~b~n~n",
              [erlang:system_info(otp_release), ?SESSIONS, byte_size(term_to_binary(Session)), ?BURSTS, ?CALLS]),
    io:format("~-16s ~10s ~10s ~10s~n", [call, ets, gb_trees, ours]),
    Ets = fill(ssl_client_session_cache_db, ssl_client_session_cache_db:init([{role, client}]), Session),
    Tree = lists:foldl(fun(N, T) -> ssl_server_session_cache_db:update(T, key(N), Session) end,
                       ssl_server_session_cache_db:init([]), lists:seq(1, ?SESSIONS)),
    Ours = fill(sessioncache_session_cb, ?LIB:open([]), Session),
    Call = fun(Name, OnEts, OnTree, OnOurs) ->
        io:format("~-16s ~10s ~10s ~10s~n", [Name, cost(OnEts), cost(OnTree), cost(OnOurs)])
    end,
    Call(lookup,
         fun(N) -> Session = ssl_client_session_cache_db:lookup(Ets, key(N)) end,
         fun(N) -> Session = ssl_server_session_cache_db:lookup(Tree, key(N)) end,
         fun(N) -> Session = sessioncache_session_cb:lookup(Ours, key(N)) end),
    Call("lookup, absent",
         fun(N) -> undefined = ssl_client_session_cache_db:lookup(Ets, {absent, N}) end,
         fun(N) -> undefined = ssl_server_session_cache_db:lookup(Tree, {absent, N}) end,
         fun(N) -> undefined = sessioncache_session_cb:lookup(Ours, {absent, N}) end),
    Call(update,
         fun(N) -> ssl_client_session_cache_db:update(Ets, key(N), Session) end,
         none,
         fun(N) -> sessioncache_session_cb:update(Ours, key(N), Session) end),
    Call(select_session,
         fun(N) -> [_] = ssl_client_session_cache_db:select_session(Ets, element(1, key(N))) end,
         none,
         fun(N) -> [_] = sessioncache_session_cb:select_session(Ours, element(1, key(N))) end),
    Call(size,
         fun(_) -> ssl_client_session_cache_db:size(Ets) end,
         fun(_) -> ssl_server_session_cache_db:size(Tree) end,
         fun(_) -> sessioncache_session_cb:size(Ours) end),
    Call("foldl of all",
         fun(_) -> ?SESSIONS = ssl_client_session_cache_db:foldl(fun(_, N) -> N + 1 end, 0, Ets) end,
         none,
         fun(_) -> ?SESSIONS = sessioncache_session_cb:foldl(fun(_, N) -> N + 1 end, 0, Ours) end),
    halt().

%% One as a handshake makes it, with both certificates.
session() ->
    {ServerOptions, ClientOptions} = ?LIB:options({rsa, 2048, 65537}),
    ?LIB:start_ssl([]),
    Server = ?LIB:listen(ServerOptions),
    _ = ?LIB:handshake(Server, ClientOptions, []),
    [Session] = sessioncache_session_cb:foldl(fun({_, S}, Acc) -> [S | Acc] end, [], ?LIB:client_cache()),
    ?LIB:stop(Server),
    ?LIB:stop_ssl(),
    Session.

key(N) -> {{{127, 0, 0, 1}, N rem ?SESSIONS}, <<(N rem ?SESSIONS):256>>}.

fill(Cb, Cache, Session) ->
    [Cb:update(Cache, key(N), Session) || N <- lists:seq(1, ?SESSIONS)],
    Cache.

cost(none) ->
    "-";
cost(Fun) ->
    io_lib:format("~.2f", [best(?BURSTS, burst(1, Fun), Fun) / 1000 / ?CALLS]).

%% Slow calls get fewer bursts: a second is enough.
best(Left, Best, Fun) when Left > 0, Best * (?BURSTS - Left) < 1000000000 ->
    best(Left - 1, min(Best, burst(Left, Fun)), Fun);
best(_, Best, _) ->
    Best.

%% Nanoseconds of a burst: short, so that some are not disturbed on a machine that others use.
burst(N, Fun) ->
    Begin = erlang:monotonic_time(nanosecond),
    calls(?CALLS, N, Fun),
    erlang:monotonic_time(nanosecond) - Begin.

calls(0, _, _) -> ok;
calls(Left, N, Fun) -> Fun(N), calls(Left - 1, N + 1, Fun).
