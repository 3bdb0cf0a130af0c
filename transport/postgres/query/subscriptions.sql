-- All subscriptions, and the number of what they are now. One statement: both are of the same moment.
select st.number, s.message_type, s.stamps::text
from symphony.messenger_state st left join symphony.messenger_subscriptions s on true
where st.name = 'subscriptions' order by s.message_type, s.subscriber
