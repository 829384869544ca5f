%% TLS sessions of Erlang/OTP in a Go program: set `session_cb' of the ssl application to this
%% module. docs/otp.md says how it is configured, what differs from OTP's own, and what it
%% costs.
%%
%% The arguments, from `session_cb_init_args' (OTP passes them to both roles):
%%
%%   {program, Path}       the sessioncache executable; default: found in the PATH
%%   {lifetime, Seconds}   default: `session_lifetime' of ssl
%%   {margin, Seconds}     how much longer the program keeps a session; default: a minute and a
%%                         tenth of the lifetime
%%   {max_sessions, N}     bound of the program; default: 100 and twice OTP's maximum for the role
%%   {max_bytes, N}        the same in bytes; default: 64 KiB for each of max_sessions
%%   {timeout, Ms}         a program that answers nothing for so long, while it should, is
%%                         replaced; default: 1000
-module(sessioncache_session_cb).
-behaviour(ssl_session_cache_api).

-export([init/1, terminate/1, lookup/2, update/3, delete/2, foldl/3, select_session/2, size/1]).

-record(cache, {shadow :: sessioncache_shadow:shadow(), supervisor :: pid()}).

%% Called by ssl_manager for the client role, and by each listener's cache process for its
%% own. Fails, and with it the start or the listen, on arguments that cannot work.
-spec init(list()) -> ssl_session_cache_api:session_cache_ref().
init(Args) ->
    Config = config(Args),
    Shadow = sessioncache_shadow:new(),
    {ok, Supervisor} = sessioncache_sup:start_link(Shadow, Config),
    #cache{shadow = Shadow, supervisor = Supervisor}.

%% Ends the cache. OTP calls it for the client role only; every other cache ends with the
%% process that made it. May be called twice, and by any process.
-spec terminate(ssl_session_cache_api:session_cache_ref()) -> ok.
terminate(#cache{shadow = Shadow, supervisor = Supervisor}) ->
    unlink(Supervisor),
    try gen_server:stop(Supervisor) catch exit:_ -> ok end,
    try sessioncache_shadow:delete(Shadow), ok catch error:badarg -> ok end.

%% The session, or undefined. Like OTP's own it fails never, and it does not look at ages: the
%% owner does.
-spec lookup(ssl_session_cache_api:session_cache_ref(), term()) -> term() | undefined.
lookup(Cache, Key) ->
    try ask(Cache, {lookup, encode_key(Key)}) of
        {ok, Session} -> decode(Cache, Session);
        absent -> undefined
    catch
        _:_ -> undefined
    end.

%% Stores the session, in place of an older one of the key.
-spec update(ssl_session_cache_api:session_cache_ref(), term(), term()) -> ok.
update(Cache, Key, Session) ->
    {ok, _} = ask(Cache, {update, encode_key(Key), term_to_binary(Session)}),
    ok.

%% Deletes the session, if it is there.
-spec delete(ssl_session_cache_api:session_cache_ref(), term()) -> ok.
delete(Cache, Key) ->
    _ = ask(Cache, {delete, encode_key(Key)}),
    ok.

%% Folds over the sessions that are there when it begins and still when it comes to them. Fun
%% may take its time and call the cache. Acc0 where anything fails, as in OTP.
-spec foldl(fun((term(), term()) -> term()), term(), ssl_session_cache_api:session_cache_ref()) -> term().
foldl(Fun, Acc0, Cache) ->
    Visit = fun({Key, Session}, Acc) -> Fun({decode_key(Key), decode(Cache, Session)}, Acc) end,
    try
        {pages, Keys} = ask(Cache, keys),
        lists:foldl(fun(Page, Acc) -> foldl_page(Visit, Acc, Cache, Page) end, Acc0, Keys)
    catch
        _:_ -> Acc0
    end.

%% The keys come first, and then page by page their sessions: what is in memory at once are
%% the keys, and a program that starts anew meanwhile is not noticed.
foldl_page(Visit, Acc0, Cache, PageOfKeys) ->
    {pages, Pages} = ask(Cache, {fetch, PageOfKeys}),
    Entries = fun(Page, Acc) -> lists:foldl(Visit, Acc, sessioncache_protocol:entries(Page)) end,
    lists:foldl(Entries, Acc0, Pages).

%% The sessions of a partial key, newest first.
-spec select_session(ssl_session_cache_api:session_cache_ref(), term()) -> [term()].
select_session(Cache, PartialKey) ->
    try
        {pages, Pages} = ask(Cache, {select, term_to_binary(PartialKey)}),
        [decode(Cache, Session) || Page <- Pages, Session <- sessioncache_protocol:sessions(Page)]
    catch
        _:_ -> []
    end.

%% The number of sessions.
-spec size(ssl_session_cache_api:session_cache_ref()) -> non_neg_integer().
size(Cache) ->
    {ok, <<Size:64>>} = ask(Cache, size),
    Size.

%% Asks the port owner. While one that crashed is being restarted, callers wait: a write into
%% the shadow behind its back could miss the program. Once it is gone for good, there is the
%% shadow.
ask(#cache{shadow = Shadow, supervisor = Supervisor} = Cache, Request) ->
    try
        gen_server:call(sessioncache_shadow:port_owner(Shadow), Request, infinity)
    catch
        exit:_ ->
            case is_process_alive(Supervisor) of
                true ->
                    timer:sleep(1),
                    ask(Cache, Request);
                false ->
                    sessioncache_shadow:write(Shadow, Request, erlang:monotonic_time(second)),
                    sessioncache_shadow:ask(Shadow, Request)
            end
    end.

%% {{Host, Port}, Id} of the client and {Port, Id} of old servers have a partial key. A server
%% of OTP >= 23.3 has one cache per listener and the bare Id as its key: the partial is empty,
%% which no term's encoding is.
encode_key({Partial, Id}) -> {term_to_binary(Partial), term_to_binary(Id)};
encode_key(Id) -> {<<>>, term_to_binary(Id)}.

decode_key({<<>>, Id}) -> binary_to_term(Id);
decode_key({Partial, Id}) -> {binary_to_term(Partial), binary_to_term(Id)}.

%% An encoded term begins with 131. What begins with 0 names a session that is too large for
%% the port.
decode(_Cache, <<131, _/binary>> = Session) ->
    binary_to_term(Session);
decode(#cache{shadow = Shadow}, <<0, PageOfKey/binary>>) ->
    [Key] = sessioncache_protocol:keys(PageOfKey),
    case sessioncache_shadow:find(Shadow, Key) of
        {ok, Session} -> binary_to_term(Session);
        absent -> undefined % deleted since the program answered
    end.

config(Args) ->
    Given = given(Args),
    Role = proplists:get_value(role, Args, client), % OTP leaves it out when it starts the client's anew
    Lifetime = maps:get(lifetime, Given, ssl_env(session_lifetime, 86400)),
    MaxSessions = maps:get(max_sessions, Given, 100 + 2 * ssl_env(max_key(Role), 1000)),
    Default = #{
        lifetime => Lifetime,
        margin => 60 + Lifetime div 10,
        max_sessions => MaxSessions,
        max_bytes => 65536 * MaxSessions,
        timeout => 1000
    },
    (maps:merge(Default, Given))#{program => program(Given)}.

given(Args) ->
    maps:from_list([Arg || Arg <- Args, check(Arg), element(1, Arg) =/= role]).

check({role, Role}) when Role =:= client; Role =:= server -> true;
check({program, Path}) when is_list(Path); is_binary(Path) -> true;
check({Key, N}) when is_integer(N), N > 0 ->
    lists:member(Key, [lifetime, margin, max_sessions, max_bytes, timeout]) orelse fail({unknown_arg, Key});
check(Arg) -> fail({bad_arg, Arg}).

program(#{program := Path}) ->
    case os:find_executable(unicode:characters_to_list(Path)) of
        false -> fail({program_not_found, Path});
        Found -> Found
    end;
program(#{}) ->
    program(#{program => "sessioncache"}).

-spec fail(term()) -> no_return().
fail(Why) -> error({sessioncache_session_cb, Why}).

max_key(client) -> session_cache_client_max;
max_key(server) -> session_cache_server_max.

ssl_env(Key, Default) ->
    case application:get_env(ssl, Key) of
        {ok, N} when is_integer(N), N >= 0 -> N;
        _ -> Default
    end.
