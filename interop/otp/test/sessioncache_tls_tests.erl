%% ssl itself over the cache: TLS 1.2 on loopback, ours on both sides.
-module(sessioncache_tls_tests).

-include_lib("eunit/include/eunit.hrl").

-define(CB, sessioncache_session_cb).
-define(LIB, sessioncache_test_lib).
%% The limit is for what hangs: a slow machine may take ten times as long as this one.
-define(TEST(Seconds, Body), {timeout, 10 * (Seconds), {spawn, fun() -> Body end}}).

a_second_connection_resumes_test_() ->
    ?TEST(120, begin
        ?LIB:start_ssl([]),
        {ServerOptions, ClientOptions} = ?LIB:options(),
        Server = ?LIB:listen(ServerOptions),
        Id = ?LIB:handshake(Server, ClientOptions, []),
        registered(Server, 1),
        ?assertEqual([Id, Id, Id], [?LIB:handshake(Server, ClientOptions, []) || _ <- [2, 3, 4]]),
        Other = ?LIB:handshake(Server, ClientOptions, [{reuse_sessions, false}]),
        ?assertNotEqual(Id, Other),
        ?assertMatch([#{mode := up}, #{mode := up}], [?LIB:info(C) || C <- [?LIB:client_cache(), ?LIB:server_cache(Server)]]),
        %% keys as OTP makes them
        Keys = fun(Cache) -> ?CB:foldl(fun({Key, _}, Acc) -> [Key | Acc] end, [], Cache) end,
        ?assertEqual([{{{127, 0, 0, 1}, ?LIB:port(Server)}, Id}], Keys(?LIB:client_cache())),
        registered(Server, 2),
        ?assertEqual(lists:sort([Id, Other]), lists:sort(Keys(?LIB:server_cache(Server)))),
        ?LIB:stop(Server),
        ?LIB:stop_ssl()
    end).

%% Waits until ssl has registered its sessions: it casts.
registered({_, _, _} = Server, Count) ->
    ?LIB:until(fun() -> ?CB:size(?LIB:server_cache(Server)) =:= Count end),
    ?LIB:until(fun() -> ?CB:size(?LIB:client_cache()) > 0 end).

%% Also for the bookkeeping: the next registration looks for the oldest session, whose life in
%% the program is over as well.
no_connection_resumes_after_the_lifetime_test_() ->
    ?TEST(120, begin
        Args = [{program, ?LIB:program()}, {margin, 1}],
        ?LIB:start_ssl([{session_lifetime, 2}, {session_cb_init_args, Args}]),
        {ServerOptions, ClientOptions} = ?LIB:options(),
        Server = ?LIB:listen(ServerOptions),
        Process = ?LIB:cache_process(Server),
        Id = ?LIB:handshake(Server, ClientOptions, []),
        registered(Server, 1),
        ?assertEqual(Id, ?LIB:handshake(Server, ClientOptions, [])),
        timer:sleep(4000),
        Later = ?LIB:handshake(Server, ClientOptions, []),
        ?assertNotEqual(Id, Later),
        %% registered without an offer: the server meets its oldest session by itself
        registered(Server, 1),
        timer:sleep(4000),
        Fresh = ?LIB:handshake(Server, ClientOptions, [{reuse_sessions, save}]),
        ?LIB:until(fun() -> ?CB:lookup(?LIB:server_cache(Server), Fresh) =/= undefined end),
        ?assertEqual(undefined, ?CB:lookup(?LIB:server_cache(Server), Later)),
        ?assertEqual(Fresh, ?LIB:handshake(Server, ClientOptions, [{reuse_session, Fresh}])),
        ?assertEqual(Process, ?LIB:cache_process(Server)),
        ?LIB:stop(Server),
        ?LIB:stop_ssl()
    end).

%% ssl_session_cache_SUITE: session_cleanup. The client's sweep begins 5 s after the lifetime.
the_clients_sweep_leaves_nothing_test_() ->
    ?TEST(120, begin
        ?LIB:start_ssl([{session_lifetime, 1}]),
        {ServerOptions, ClientOptions} = ?LIB:options(),
        Server = ?LIB:listen(ServerOptions),
        Saved = [?LIB:handshake(Server, ClientOptions, [{reuse_sessions, save}]) || _ <- lists:seq(1, 5)],
        ?assertEqual(5, length(lists:usort(Saved))),
        registered(Server, 5),
        ?assertEqual(5, ?CB:size(?LIB:client_cache())),
        ?LIB:until(fun() -> ?CB:size(?LIB:client_cache()) =:= 0 end),
        Port = ?LIB:port(Server),
        ?assertEqual([], ?CB:select_session(?LIB:client_cache(), {{127, 0, 0, 1}, Port})),
        %% the manager's own order of its sessions is empty, too: nothing was missed
        ?assert(gb_trees:is_empty(element(tuple_size(sys:get_state(ssl_manager)), sys:get_state(ssl_manager)))),
        ?LIB:stop(Server),
        ?LIB:stop_ssl()
    end).

%% client_unique_session
twenty_clients_register_one_session_test_() ->
    ?TEST(120, begin
        ?LIB:start_ssl([]),
        {ServerOptions, ClientOptions} = ?LIB:options(),
        Server = ?LIB:listen(ServerOptions),
        Sockets = at_once(20, fun(_) -> ?LIB:connect(Server, ClientOptions, []) end),
        sys:get_state(ssl_manager), % has handled what was cast
        ?assertEqual(1, ?CB:size(?LIB:client_cache())),
        [?LIB:close(Socket) || Socket <- Sockets],
        ?LIB:stop(Server),
        ?LIB:stop_ssl()
    end).

%% max_table_size
tables_of_five_hold_with_twenty_clients_test_() ->
    ?TEST(120, begin
        ?LIB:start_ssl([{session_cache_client_max, 5}, {session_cache_server_max, 5}]),
        Suites = [Suite || #{key_exchange := Kx} = Suite <- ssl:cipher_suites(default, 'tlsv1.2'),
                           lists:member(Kx, [ecdhe_rsa, dhe_rsa])],
        {ServerOptions, ClientOptions} = ?LIB:options({rsa, 2048, 65537}),
        Server = ?LIB:listen([{ciphers, Suites} | ServerOptions]),
        Process = ?LIB:cache_process(Server),
        Suite = fun(N) -> lists:nth(1 + N rem length(Suites), Suites) end,
        Connect = fun(N) -> ?LIB:handshake(Server, ClientOptions, [{ciphers, [Suite(N)]}]) end,
        Ids = at_once(20, Connect) ++ [Connect(N) || N <- lists:seq(1, 20)],
        sys:get_state(ssl_manager),
        ?LIB:until(fun() -> ?CB:lookup(?LIB:server_cache(Server), lists:last(Ids)) =/= undefined end),
        ?assertEqual({5, 5}, {?CB:size(?LIB:client_cache()), ?CB:size(?LIB:server_cache(Server))}),
        ?assertEqual(lists:last(Ids), Connect(20)),
        ?assertEqual(Process, ?LIB:cache_process(Server)),
        ?LIB:stop(Server),
        ?LIB:stop_ssl()
    end).

%% Results of Fun(1) to Fun(N), called by as many processes.
at_once(N, Fun) ->
    Self = self(),
    Pids = [spawn_link(fun() -> Self ! {self(), Fun(I)}, receive done -> ok end end) || I <- lists:seq(1, N)],
    [receive {Pid, Result} -> Result end || Pid <- Pids].

kill_9_during_traffic_fails_no_handshake_test_() ->
    ?TEST(180, begin
        ?LIB:start_ssl([{session_cache_server_max, 20}]),
        {ServerOptions, ClientOptions} = ?LIB:options(),
        Server = ?LIB:listen(ServerOptions),
        Process = ?LIB:cache_process(Server),
        Manager = whereis(ssl_manager),
        Traffic = [spawn_link(fun() -> traffic(Server, ClientOptions, 0) end) || _ <- lists:seq(1, 4)],
        lists:foreach(fun(_) ->
            Before = ?LIB:os_pids(),
            ?assertMatch([_, _], Before),
            [?LIB:kill("KILL", Pid) || Pid <- Before],
            More = [reuse(N) || N <- lists:seq(1, 50)],
            _ = [<<_:32/binary>> = ?LIB:handshake(Server, ClientOptions, Reuse) || Reuse <- More],
            [?LIB:up(Cache) || Cache <- [?LIB:client_cache(), ?LIB:server_cache(Server)]],
            ?assertEqual([], [Pid || Pid <- ?LIB:os_pids(), lists:member(Pid, Before)])
        end, lists:seq(1, ?LIB:number(2, 5))),
        Done = [begin T ! {self(), stop}, receive {T, N} -> N end end || T <- Traffic],
        ?assert(lists:all(fun(N) -> N > 0 end, Done)),
        ?assertEqual({Process, Manager}, {?LIB:cache_process(Server), whereis(ssl_manager)}),
        Id = ?LIB:handshake(Server, ClientOptions, [{reuse_sessions, save}]),
        ?LIB:until(fun() -> ?CB:lookup(?LIB:server_cache(Server), Id) =/= undefined end),
        Resumed = [?LIB:handshake(Server, ClientOptions, [{reuse_session, Id}]) || _ <- lists:seq(1, 5)],
        ?assertEqual([Id], lists:usort(Resumed)),
        ?LIB:stop(Server),
        ?LIB:stop_ssl()
    end).

%% Some resume, some are new and push others out of the server's table. (Not of the client's: OTP
%% looks for an offered session a second time when the server took it, and ends if it went.)
reuse(N) when N rem 2 =:= 0 -> [];
reuse(_) -> [{reuse_sessions, save}].

traffic(Server, Options, N) ->
    <<_:32/binary>> = ?LIB:handshake(Server, Options, reuse(N)),
    receive {From, stop} -> From ! {self(), N + 1} after 0 -> traffic(Server, Options, N + 1) end.

listeners_leave_nothing_behind_test_() ->
    ?TEST(600, begin
        ?LIB:start_ssl([]),
        {ServerOptions, _} = ?LIB:options(),
        Cycle = fun() ->
            {ok, Listen} = ssl:listen(0, ServerOptions),
            Process = ?LIB:cache_process(Listen),
            Ref = monitor(process, Process),
            ?LIB:up(?LIB:server_cache(Listen)),
            ok = ssl:close(Listen),
            receive {'DOWN', Ref, _, _, _} -> ok end
        end,
        Settled = fun() ->
            ?LIB:until(fun() -> length(?LIB:os_pids()) =:= 1 end), % the client's
            [garbage_collect(Pid) || Pid <- processes()],
            #{processes => erlang:system_info(process_count), ports => erlang:system_info(port_count),
              tables => length(ets:all()), os_pids => ?LIB:os_pids(), bytes => erlang:memory(total)}
        end,
        [Cycle() || _ <- lists:seq(1, 20)],
        #{bytes := BytesBefore} = Before = Settled(),
        [Cycle() || _ <- lists:seq(1, ?LIB:number(100, 1000))],
        #{bytes := BytesAfter} = After = Settled(),
        io:format(user, "before ~p~nafter ~p~n", [Before, After]),
        ?assertEqual(maps:remove(bytes, Before), maps:remove(bytes, After)),
        ?assert(BytesAfter - BytesBefore < 2 bsl 20),
        ?LIB:stop_ssl()
    end).
