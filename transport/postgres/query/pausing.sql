-- Is there a paused type, or one whose pause is ending?
select exists (select from symphony.messenger_pauses where kind = 'type' and resumed_at is null),
  exists (select from symphony.messenger_pauses where kind = 'type' and resumed_at is not null)
