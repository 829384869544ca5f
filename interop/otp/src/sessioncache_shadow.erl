%% The shadow of a cache: a table of what the port program was told to keep.
%%
%% It exists because the owner decides in OTP: ssl keeps an order of its sessions beside the
%% cache, and ends when one that it counts on is not there. So a port program that starts
%% anew is filled from the shadow, sessions whose life in the program ends are told anew from it,
%% and it answers as long as there is no program that has it all. It is not read otherwise, but for sessions that are too large for a frame.
%%
%% The table belongs to the process that called new/0, the owner in OTP's sense, and goes with
%% it, however it ends. It is public because the process that owns the port writes it.
-module(sessioncache_shadow).

-export([new/0, delete/1, port_owner/1, set_port_owner/2]).
-export([write/3, ask/2, find/2]).
-export([all/1, stored_before/2, touch/3]).
-export_type([shadow/0]).

-opaque shadow() :: ets:tid().

%% Rows: {{session, Key}, {StoredAt, Order}, Session}, and {port_owner, Pid}. StoredAt is in
%% seconds; Order grows with each that is stored. Keys are ordered so that the sessions of a
%% partial key stand together.

-spec new() -> shadow().
new() -> ets:new(?MODULE, [ordered_set, public]).

-spec delete(shadow()) -> true.
delete(T) -> ets:delete(T).

%% Who talks to the port program at present. Fails with badarg where the table is gone.
-spec port_owner(shadow()) -> pid().
port_owner(T) -> ets:lookup_element(T, port_owner, 2).

-spec set_port_owner(shadow(), pid()) -> true.
set_port_owner(T, Pid) -> ets:insert(T, {port_owner, Pid}).

%% Does what a request changes; a request that reads changes nothing.
-spec write(shadow(), sessioncache_protocol:request(), Now :: integer()) -> true.
write(T, {update, Key, Session}, Now) -> ets:insert(T, {{session, Key}, stored(Now), Session});
write(T, {delete, Key}, _Now) -> ets:delete(T, {session, Key});
write(_T, _Reading, _Now) -> true.

%% Answers a request as the port program would. Of what was written, nothing expires here:
%% only the owner takes it away.
-spec ask(shadow(), sessioncache_protocol:request()) -> {ok, binary()} | {pages, [binary()]} | absent.
ask(T, {lookup, Key}) ->
    find(T, Key);
ask(T, size) ->
    {ok, <<(ets:info(T, size) - 1):64>>};
ask(T, {select, Partial}) ->
    Sessions = ets:select(T, [{{{session, {Partial, '_'}}, {'_', '$1'}, '$2'}, [], [{{'$1', '$2'}}]}]),
    {pages, [sessioncache_protocol:page([Session || {_, Session} <- lists:reverse(lists:keysort(1, Sessions))])]};
ask(T, keys) ->
    {pages, [sessioncache_protocol:page(ets:select(T, [{{{session, '$1'}, '_', '_'}, [], ['$1']}]))]};
ask(T, {fetch, Page}) ->
    Found = [{Key, Session} || Key <- sessioncache_protocol:keys(Page), {ok, Session} <- [find(T, Key)]],
    {pages, [sessioncache_protocol:page(Found)]};
ask(_T, _Writing) ->
    {ok, <<>>}.

-spec find(shadow(), sessioncache_protocol:key()) -> {ok, binary()} | absent.
find(T, Key) ->
    case ets:lookup(T, {session, Key}) of
        [{_, _, Session}] -> {ok, Session};
        [] -> absent
    end.

%% The keys of all sessions, in the order in which they were stored.
-spec all(shadow()) -> [sessioncache_protocol:key()].
all(T) ->
    by_order(ets:select(T, [{{{session, '$1'}, {'_', '$2'}, '_'}, [], [{{'$2', '$1'}}]}])).

%% The same of those that the port program was told before Then.
-spec stored_before(shadow(), Then :: integer()) -> [sessioncache_protocol:key()].
stored_before(T, Then) ->
    by_order(ets:select(T, [{{{session, '$1'}, {'$3', '$2'}, '_'}, [{'<', '$3', Then}], [{{'$2', '$1'}}]}])).

by_order(Keys) -> [Key || {_, Key} <- lists:keysort(1, Keys)].

%% The port program is told of the session anew: it is the newest of its partial key there.
-spec touch(shadow(), sessioncache_protocol:key(), Now :: integer()) -> boolean().
touch(T, Key, Now) -> ets:update_element(T, {session, Key}, {2, stored(Now)}).

stored(Now) -> {Now, erlang:unique_integer([monotonic])}.
