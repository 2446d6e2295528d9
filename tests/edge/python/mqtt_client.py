"""paho-mqtt, publishing a number every 10 ms to the host and the port that are the arguments, until it notices that it is not connected
any more. Says "connected" on standard output, and in the end how many messages it believes to have published."""

import sys
import threading
import time

import paho.mqtt.client as mqtt

connected, disconnected = threading.Event(), threading.Event()
client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, transport="websockets")
client.on_connect = lambda *_: connected.set()
client.on_disconnect = lambda *_: disconnected.set()
client.connect(sys.argv[1], int(sys.argv[2]))
client.loop_start()
assert connected.wait(10), "it is not connected"
print("connected", flush=True)
published, latest = 0, time.monotonic() + 30
while not disconnected.wait(0.01) and time.monotonic() < latest:
    if client.publish("numbers", str(published + 1)).rc == mqtt.MQTT_ERR_SUCCESS:
        published += 1
print(published, flush=True)
