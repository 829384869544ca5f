%% The frames of `sessioncache otp-port', whose version and layout are described in the Go
%% package internal/otpport. {packet, 4} of the port adds and removes the lengths.
-module(sessioncache_protocol).

-export([request/2, answer/1]).
-export([page/1, keys/1, sessions/1, entries/1]).
-export_type([key/0, request/0, answer/0]).

%% What the port program knows of a session's key: {partial key, session id}.
-type key() :: {binary(), binary()}.
-type request() ::
    {lookup, key()}
    | {update, key(), Session :: binary()}
    | {delete, key()}
    | size
    | {select, Partial :: binary()}
    | keys
    | {fetch, PageOfKeys :: binary()}.
-type answer() ::
    {ok | more, binary()}
    | absent
    | {error, Code :: byte(), Text :: binary()}.

-define(VERSION, 1).

-spec request(Id :: non_neg_integer(), request()) -> iolist().
request(Id, {lookup, Key}) -> [<<?VERSION, 1, Id:64>> | key(Key)];
request(Id, {update, Key, Session}) -> [<<?VERSION, 2, Id:64>>, key(Key), Session];
request(Id, {delete, Key}) -> [<<?VERSION, 3, Id:64>> | key(Key)];
request(Id, size) -> [<<?VERSION, 4, Id:64>>];
request(Id, {select, Partial}) -> [<<?VERSION, 5, Id:64>>, Partial];
request(Id, keys) -> [<<?VERSION, 6, Id:64>>];
request(Id, {fetch, Page}) -> [<<?VERSION, 7, Id:64>>, Page].

-spec answer(binary()) -> {Id :: non_neg_integer(), answer()} | bad_frame.
answer(<<?VERSION, 0, Id:64, Body/binary>>) -> {Id, {ok, Body}};
answer(<<?VERSION, 1, Id:64, Body/binary>>) -> {Id, {more, Body}};
answer(<<?VERSION, 2, Id:64>>) -> {Id, absent};
answer(<<?VERSION, 3, Id:64, Code, Text/binary>>) -> {Id, {error, Code, Text}};
answer(_) -> bad_frame.

%% Pages are what listings consist of: keys, sessions, or entries of both.
-spec page([key() | binary() | {key(), binary()}]) -> binary().
page(Items) -> iolist_to_binary([item(Item) || Item <- Items]).

item({{_, _} = Key, Session}) -> [key(Key) | sized(Session)];
item({_, _} = Key) -> key(Key);
item(Session) -> sized(Session).

key({Partial, Id}) -> [sized(Partial) | sized(Id)].

sized(Bytes) -> [<<(byte_size(Bytes)):32>>, Bytes].

-spec keys(binary()) -> [key()].
keys(Page) -> [{P, I} || <<PL:32, P:PL/binary, IL:32, I:IL/binary>> <= Page].

-spec sessions(binary()) -> [binary()].
sessions(Page) -> [S || <<L:32, S:L/binary>> <= Page].

-spec entries(binary()) -> [{key(), binary()}].
entries(Page) ->
    [{{P, I}, S} || <<PL:32, P:PL/binary, IL:32, I:IL/binary, L:32, S:L/binary>> <= Page].
