select queue_name, message_type, pending, scheduled, processing, completed, failed, cancelled, expired, no_handler
from symphony.messenger_counts order by 1, 2
